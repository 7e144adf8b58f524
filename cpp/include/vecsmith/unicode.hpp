// Code points: UTF-8 walking, character classes, canonical decomposition, lower case.
//
// The tables behind these functions answer as Hugging Face `tokenizers` answers, not as the newest
// Unicode standard does: its tables are several versions old, and of different ages for different
// questions. `scripts/generate_unicode.py` measures every code point through that library's own
// normalizers, pre-tokenizers and added tokens, and writes `cpp/src/unicode_tables.inc`.
//
// The answers are primitives: nothing here depends on the options of a normalizer. Every
// combination of them is composed in this order, one character at a time but for step 3:
//   1. clean text            drop kControl, turn kCleanSpace into ' '
//   2. Chinese characters    put ' ' before and after kCjk
//   3. strip accents         decompose(), stable-sort each run of non-zero combining_class() by
//                            that class, drop kNonspacingMark
//   4. lower case            lowercase()

#ifndef VECSMITH_UNICODE_HPP_
#define VECSMITH_UNICODE_HPP_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vecsmith {

// One bit per question that a BERT tokenizer asks about a character.
enum CodePointFlag : std::uint8_t {
  kControl = 1U << 0,         // clean_text deletes it
  kCleanSpace = 1U << 1,      // clean_text turns it into ' ' (never together with kControl)
  kWhitespace = 1U << 2,      // BertPreTokenizer splits here and drops it
  kPunctuation = 1U << 3,     // BertPreTokenizer makes it a word of its own
  kCjk = 1U << 4,             // handle_chinese_chars puts spaces around it
  kNonspacingMark = 1U << 5,  // strip_accents drops it; never set where decompose() is not empty
  kWord = 1U << 6,            // regex \w: keeps an added token with single_word from matching
  kRegexSpace = 1U << 7,      // regex \s: swallowed by an added token with lstrip or rstrip
};

inline constexpr char32_t kMaxCodePoint = 0x10FFFF;
inline constexpr char32_t kReplacementCharacter = 0xFFFD;

// What one code point becomes: up to four code points held by value, or none when it stays as is.
class Expansion {
 public:
  static constexpr std::size_t kCapacity = 4;

  constexpr Expansion() = default;
  // At most kCapacity code points.
  constexpr explicit Expansion(std::u32string_view code_points)
      : size_(static_cast<std::uint8_t>(code_points.size())) {
    for (std::size_t i = 0; i < code_points.size(); ++i) code_points_[i] = code_points[i];
  }

  // True when the code point maps to itself.
  [[nodiscard]] constexpr bool empty() const { return size_ == 0; }
  [[nodiscard]] constexpr std::size_t size() const { return size_; }
  constexpr char32_t operator[](std::size_t i) const { return code_points_[i]; }
  [[nodiscard]] constexpr const char32_t* begin() const { return code_points_.data(); }
  [[nodiscard]] constexpr const char32_t* end() const { return code_points_.data() + size_; }
  // The code points; the view lives as long as this object.
  [[nodiscard]] constexpr std::u32string_view view() const& { return {begin(), size()}; }
  std::u32string_view view() const&& = delete;

 private:
  std::array<char32_t, kCapacity> code_points_{};
  std::uint8_t size_ = 0;
};

// Everything known about one code point; equal records are shared.
struct CodePoint {
  std::uint8_t flags;                 // CodePointFlag bits
  std::uint8_t combining_class;       // 0 for starters, and wherever there is a decomposition
  std::uint8_t decomposition_size;    // code points; 0: none; 0xFF: Hangul syllable, by arithmetic
  std::uint8_t lowercase_size;        // code points; 0: stays as is
  std::uint16_t decomposition_begin;  // offset into the pool of expansions
  std::uint16_t lowercase_begin;      // offset into the pool of expansions
};

// Pages that page() tells apart.
inline constexpr std::uint32_t kPageCount = 236;

namespace unicode_detail {

inline constexpr std::uint32_t kPageBits = 7;
inline constexpr std::uint32_t kPageSize = 1U << kPageBits;
inline constexpr std::uint8_t kHangulDecomposition = 0xFF;

extern const std::uint8_t kPages[(kMaxCodePoint + 1) >> kPageBits];  // code point / 128 -> page
extern const std::uint16_t kRecordOf[];  // page * 128 + code point % 128 -> record
extern const CodePoint kRecords[];       // record 0: nothing special
extern const char32_t kExpansions[];     // pool of decompositions and lower-case forms

}  // namespace unicode_detail

// Number of the page of 128 code points that holds `c`. Code points on pages with equal numbers and
// with equal low seven bits have equal properties (but for the arithmetic of Hangul syllables), so
// a table composed from these needs one block for each of the kPageCount pages.
[[nodiscard]] inline std::uint32_t page(char32_t c) {
  return c <= kMaxCodePoint ? unicode_detail::kPages[c >> unicode_detail::kPageBits] : 0U;
}

// Everything known about `c`; surrogates and values above U+10FFFF have no properties.
[[nodiscard]] inline const CodePoint& properties(char32_t c) {
  using namespace unicode_detail;
  if (c > kMaxCodePoint) return kRecords[0];
  const std::size_t page = kPages[c >> kPageBits];
  return kRecords[kRecordOf[page * kPageSize + (c & (kPageSize - 1))]];
}

// CodePointFlag bits of `c`.
[[nodiscard]] inline std::uint8_t flags(char32_t c) { return properties(c).flags; }

// True when `c` carries any of the bits in `mask`.
[[nodiscard]] inline bool has_any(char32_t c, unsigned mask) { return (flags(c) & mask) != 0; }

// Canonical combining class of `c`, 0 to 240; 0 where decompose(c) is not empty, because canonical
// ordering comes after decomposition.
[[nodiscard]] inline std::uint8_t combining_class(char32_t c) {
  return properties(c).combining_class;
}

// Full canonical decomposition of `c`, in canonical order; empty when `c` has none.
[[nodiscard]] Expansion decompose(char32_t c);

// Lower-case form of `c` alone (no context: a final sigma is an ordinary sigma); empty when
// unchanged.
[[nodiscard]] Expansion lowercase(char32_t c);

// Decodes the code point at `p` and moves `p` behind it; needs p < end and never reads at `end`.
// An ill-formed sequence gives U+FFFD and moves over its maximal subpart, one byte at least, as the
// Unicode standard recommends. The one exception: an encoded surrogate (ED A0..BF 80..BF) moves
// three bytes and gives one U+FFFD, so a lone surrogate in the caller's string counts once.
[[nodiscard]] inline char32_t decode_utf8(const char*& p, const char* end) {
  const auto byte = [](char c) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(c));
  };
  const std::uint32_t lead = byte(*p++);
  if (lead < 0x80) return lead;
  if (lead < 0xC2 || lead > 0xF4) return kReplacementCharacter;

  // Only the first continuation byte has a range of its own: it excludes overlong forms and values
  // above U+10FFFF.
  const std::uint32_t low = lead == 0xE0 ? 0xA0U : lead == 0xF0 ? 0x90U : 0x80U;
  const std::uint32_t high = lead == 0xF4 ? 0x8FU : 0xBFU;
  if (p == end || byte(*p) < low || byte(*p) > high) return kReplacementCharacter;
  if (lead < 0xE0) return ((lead & 0x1FU) << 6) | (byte(*p++) & 0x3FU);

  const std::uint32_t second = byte(*p);
  if (lead == 0xED && second >= 0xA0) {
    const bool surrogate = end - p >= 2 && (byte(p[1]) & 0xC0U) == 0x80;
    if (surrogate) p += 2;
    return kReplacementCharacter;
  }
  ++p;
  if (p == end || (byte(*p) & 0xC0U) != 0x80) return kReplacementCharacter;
  const std::uint32_t third = byte(*p++) & 0x3FU;
  if (lead < 0xF0) return ((lead & 0x0FU) << 12) | ((second & 0x3FU) << 6) | third;
  if (p == end || (byte(*p) & 0xC0U) != 0x80) return kReplacementCharacter;
  const std::uint32_t fourth = byte(*p++) & 0x3FU;
  return ((lead & 0x07U) << 18) | ((second & 0x3FU) << 12) | (third << 6) | fourth;
}

// Appends `c` in UTF-8; surrogates and values above U+10FFFF become U+FFFD.
inline void append_utf8(std::string& text, char32_t c) {
  if (c > kMaxCodePoint || (c >= 0xD800 && c <= 0xDFFF)) c = kReplacementCharacter;
  const auto push = [&text](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  const auto value = static_cast<std::uint32_t>(c);
  if (value < 0x80) {
    push(value);
  } else if (value < 0x800) {
    push(0xC0U | (value >> 6));
    push(0x80U | (value & 0x3FU));
  } else if (value < 0x10000) {
    push(0xE0U | (value >> 12));
    push(0x80U | ((value >> 6) & 0x3FU));
    push(0x80U | (value & 0x3FU));
  } else {
    push(0xF0U | (value >> 18));
    push(0x80U | ((value >> 12) & 0x3FU));
    push(0x80U | ((value >> 6) & 0x3FU));
    push(0x80U | (value & 0x3FU));
  }
}

}  // namespace vecsmith

#endif  // VECSMITH_UNICODE_HPP_
