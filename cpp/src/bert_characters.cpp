#include "bert_characters.hpp"

#include <algorithm>
#include <cstring>
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

// The two or three jamo of a syllable (the Unicode standard, section 3.12), each three bytes.
struct JamoBytes {
  char bytes[9];
  std::size_t n_chars;
};

JamoBytes jamo_of(std::uint32_t index) {
  constexpr std::uint32_t kVowels = 21;
  constexpr std::uint32_t kTrailings = 28;
  const std::uint32_t jamo[3] = {0x1100U + index / (kVowels * kTrailings),
                                 0x1161U + index / kTrailings % kVowels,
                                 0x11A7U + index % kTrailings};
  JamoBytes found{{}, index % kTrailings == 0 ? std::size_t{2} : std::size_t{3}};
  for (std::size_t i = 0; i < 3; ++i) {
    found.bytes[3 * i] = static_cast<char>(0xE1);
    found.bytes[3 * i + 1] = static_cast<char>(0x80U | (jamo[i] >> 6U & 0x3FU));
    found.bytes[3 * i + 2] = static_cast<char>(0x80U | (jamo[i] & 0x3FU));
  }
  return found;
}

// A character that stays as it is; what was ill-formed has become U+FFFD.
char* write_utf8(char32_t c, std::string_view raw, char* out) {
  if (c == kReplacementCharacter) raw = "\xEF\xBF\xBD";
  std::memcpy(out, raw.data(), raw.size());
  return out + raw.size();
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
    if (kind_of(c) != kAlone) continue;
    const char32_t alone = only_character(normalized(c, normalizer));
    std::string bytes;
    append_utf8(bytes, alone);
    one.set_size(0);
    wordpiece.append(bytes, 1, one);
    if (one.size() == 1) ids_[c - kFirstAlone] = one.data()[0];
  }
}

BertCharacters::Letters BertCharacters::write_letters(std::string_view text, char* out) const {
  char* const begin = out;
  std::size_t n_chars = 0;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const char* const here = p;
    const char32_t c = decode_utf8(p, end);
    const Entry& entry = entry_of(c);
    if (entry.sizes != 0) {
      // Always all of its bytes, then as far as there are.
      std::memcpy(out, entry.bytes, kMostBytes);
      out += entry.sizes & 15U;
      n_chars += entry.sizes >> 4U;
    } else if (entry.kind == kHangul && kind_of(c) == kHangul) {
      const JamoBytes jamo = jamo_of(c - kFirstSyllable);
      std::memcpy(out, jamo.bytes, sizeof jamo.bytes);
      out += 3 * jamo.n_chars;
      n_chars += jamo.n_chars;
    } else if (entry.kind != kGone) {
      out = write_utf8(c, {here, p}, out);
      ++n_chars;
    }
  }
  return {static_cast<std::size_t>(out - begin), n_chars};
}

}  // namespace vecsmith
