#include "bert_characters.hpp"

#include <algorithm>
#include <string>

namespace vecsmith {

namespace {

constexpr std::uint32_t kPageSize = unicode_detail::kPageSize;

std::string normalized(char32_t c, const BertNormalizer& normalizer) {
  std::string raw;
  std::string out;
  append_utf8(raw, c);
  normalizer.append(raw, out);
  return out;
}

// The one character of `text` that is no white space, or U+0000 where there are none or more.
char32_t only_character(std::string_view text) {
  char32_t found = 0;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const char32_t c = decode_utf8(p, end);
    if (has_any(c, kWhitespace)) continue;
    if (found != 0) return 0;
    found = c;
  }
  return found;
}

}  // namespace

BertCharacters::BertCharacters(const BertNormalizer& normalizer, const WordPiece& wordpiece)
    : entries_(std::size_t{kPageCount} * kPageSize) {
  std::vector<bool> done(kPageCount);
  for (char32_t first = 0; first <= kMaxCodePoint; first += kPageSize) {
    const std::uint32_t number = page(first);
    if (done[number]) continue;
    done[number] = true;
    for (std::uint32_t low = 0; low < kPageSize; ++low) {
      entries_[number * kPageSize + low] = make_entry(first + low, normalizer);
    }
  }
  find_ids(normalizer, wordpiece);
}

BertCharacters::Entry BertCharacters::make_entry(char32_t c,
                                                 const BertNormalizer& normalizer) const {
  const std::string text = normalized(c, normalizer);
  if (text.empty()) return {{}, 0, kGone};
  std::size_t n_letters = 0;
  std::size_t n_spaces = 0;
  std::size_t n_alone = 0;
  bool has_marks = false;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const char32_t part = decode_utf8(p, end);
    // The spaces around a Chinese character make it a word of its own.
    const std::uint8_t bits = flags(part);
    if ((bits & kWhitespace) != 0) {
      ++n_spaces;
    } else if ((bits & kPunctuation) != 0) {
      ++n_alone;
    } else {
      ++n_letters;
    }
    has_marks |= combining_class(part) != 0;
  }
  if (has_marks && normalizer.settings().strip_accents) return {{}, 0, kOdd};
  if (n_letters == 0 && n_alone == 0) return {{}, 0, kSpace};
  if (n_letters + n_alone == 1 && (n_alone == 1 || n_spaces > 0)) return {{}, 0, kAlone};
  if (n_spaces + n_alone > 0) return {{}, 0, kOdd};
  if (properties(c).decomposition_size == unicode_detail::kHangulDecomposition &&
      normalizer.settings().strip_accents) {
    return {{}, 0, kHangul};
  }
  std::string raw;
  append_utf8(raw, c);
  if (text == raw) return {{}, 0, kLetter};
  if (text.size() > kMostBytes) return {{}, 0, kOdd};
  Entry entry{{}, static_cast<std::uint8_t>(text.size() | n_letters << 4U), kLetter};
  std::ranges::copy(text, entry.bytes);
  return entry;
}

void BertCharacters::find_ids(const BertNormalizer& normalizer, const WordPiece& wordpiece) {
  ids_.assign(kEndAlone - kFirstAlone, kNoId);
  IdBuffer one;
  for (char32_t c = kFirstAlone; c < kEndAlone; ++c) {
    if (entry_of(c).kind != kAlone) continue;
    const char32_t alone = only_character(normalized(c, normalizer));
    std::string bytes;
    append_utf8(bytes, alone);
    one.set_size(0);
    wordpiece.append(bytes, 1, one);
    if (one.size() == 1) ids_[c - kFirstAlone] = one.data()[0];
  }
}

// The two or three jamo of a syllable (the Unicode standard, section 3.12), each three bytes.
void BertCharacters::add_syllable(std::uint32_t index, char* out, Letters& letters) {
  constexpr std::uint32_t kVowels = 21;
  constexpr std::uint32_t kTrailings = 28;
  const std::uint32_t jamo[3] = {0x1100U + index / (kVowels * kTrailings),
                                 0x1161U + index / kTrailings % kVowels,
                                 0x11A7U + index % kTrailings};
  for (std::size_t i = 0; i < 3; ++i) {
    out[3 * i] = static_cast<char>(0xE1);
    out[3 * i + 1] = static_cast<char>(0x80U | (jamo[i] >> 6U & 0x3FU));
    out[3 * i + 2] = static_cast<char>(0x80U | (jamo[i] & 0x3FU));
  }
  const std::size_t n_chars = index % kTrailings == 0 ? 2 : 3;
  letters.n_bytes += 3 * n_chars;
  letters.n_chars += n_chars;
}

std::size_t BertCharacters::write_utf8(char32_t c, char* out) {
  const auto put = [&](std::size_t i, std::uint32_t byte) { out[i] = static_cast<char>(byte); };
  const auto value = static_cast<std::uint32_t>(c);
  if (value < 0x80) return put(0, value), 1;
  if (value < 0x800) return put(0, 0xC0U | value >> 6U), put(1, 0x80U | (value & 0x3FU)), 2;
  const std::size_t n = value < 0x10000 ? 3 : 4;
  std::size_t i = 0;
  if (n == 3) {
    put(i++, 0xE0U | value >> 12U);
  } else {
    put(i++, 0xF0U | value >> 18U);
    put(i++, 0x80U | (value >> 12U & 0x3FU));
  }
  put(i++, 0x80U | (value >> 6U & 0x3FU));
  put(i, 0x80U | (value & 0x3FU));
  return n;
}

}  // namespace vecsmith
