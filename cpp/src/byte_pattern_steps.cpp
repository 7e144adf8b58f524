#include "byte_pattern.hpp"
#include "vecsmith/unicode.hpp"

// The patterns as they read, one alternative after another, for pieces of any length.

namespace vecsmith {

namespace {

constexpr std::size_t kAny = static_cast<std::size_t>(-1);

}  // namespace

std::size_t BytePattern::end_of_piece(std::string_view text, std::size_t at) const {
  const auto* const bytes = reinterpret_cast<const unsigned char*>(text.data()) + at;
  if (const std::size_t n = contraction(bytes, text.size() - at); n > 0) return at + n;
  return family_ == Family::kGpt2 ? end_of_gpt2_piece(text, at) : end_of_llama_piece(text, at);
}

// Where the run of characters of `kind` ends that begins at `at`, `most` of them at most.
std::size_t BytePattern::end_of_run(std::string_view text, std::size_t at, unsigned kind,
                                    std::size_t most) const {
  const char* p = text.data() + at;
  const char* const end = text.data() + text.size();
  for (std::size_t n = 0; p != end && n < most; ++n) {
    const char* next = p;
    if (kind_of(decode_utf8(next, end)) != kind) break;
    p = next;
  }
  return static_cast<std::size_t>(p - text.data());
}

std::size_t BytePattern::end_of_gpt2_piece(std::string_view text, std::size_t at) const {
  const std::size_t begin = text[at] == ' ' ? at + 1 : at;
  for (const unsigned kind : {unsigned{kLetters}, unsigned{kNumbers}, kOthers}) {
    if (const std::size_t end = end_of_run(text, begin, kind, kAny); end > begin) return end;
  }
  return end_of_spaces(text, at);
}

std::size_t BytePattern::end_of_llama_piece(std::string_view text, std::size_t at) const {
  const char* p = text.data() + at;
  const unsigned kind = kind_of(decode_utf8(p, text.data() + text.size()));
  const auto next = static_cast<std::size_t>(p - text.data());
  if (kind == kLetters) return end_of_run(text, at, kLetters, kAny);
  if (kind == kNumbers) {
    return end_of_run(text, at, kNumbers, most_digits_ == 0 ? kAny : most_digits_);
  }
  if (!is_newline(static_cast<unsigned char>(text[at]))) {
    if (const std::size_t end = end_of_run(text, next, kLetters, kAny); end > next) return end;
  }
  const std::size_t begin = text[at] == ' ' ? at + 1 : at;
  if (std::size_t end = end_of_run(text, begin, kOthers, kAny); end > begin) {
    while (end < text.size() && is_newline(static_cast<unsigned char>(text[end]))) ++end;
    return end;
  }
  std::size_t end = end_of_run(text, at, kSpaces, kAny);
  while (end > at && !is_newline(static_cast<unsigned char>(text[end - 1]))) --end;
  return end > at ? end : end_of_spaces(text, at);
}

// Spaces up to the last one, or all of them where nothing follows or there is only one.
std::size_t BytePattern::end_of_spaces(std::string_view text, std::size_t at) const {
  const char* p = text.data() + at;
  const char* const end = text.data() + text.size();
  const char* last = p;
  while (p != end) {
    const char* next = p;
    if (kind_of(decode_utf8(next, end)) != kSpaces) break;
    last = p;
    p = next;
  }
  const bool all = p == end || last == text.data() + at;
  return static_cast<std::size_t>((all ? p : last) - text.data());
}

}  // namespace vecsmith
