// Classes of characters as splitters see them: letters, numbers, spaces, punctuation.
//
// The answers are those of Hugging Face `tokenizers`: of its regular expressions (GPT-2's, Llama's,
// those of `Split`, `Replace` and `ByteLevel`), of the pattern of `Whitespace`, and of the tests
// behind `Digits` and `Punctuation`, whose Unicode databases differ in age.
// `scripts/generate_classes.py` measures every code point and writes
// `cpp/src/character_classes.inc`.
//
// Code points that no question tells apart share a class. There are fewer than 64 classes, so any
// set made of traits, however it is made, is one number with a bit for each class.

#ifndef VECSMITH_CHARACTER_CLASSES_HPP_
#define VECSMITH_CHARACTER_CLASSES_HPP_

#include <cstdint>

namespace vecsmith {

// What may be true of a character. The general categories of regular expressions come first and
// part all code points; a code point without any entry is unassigned (kUnassigned).
enum CharacterTrait : std::uint64_t {
  kUppercaseLetter = 1ULL << 0,       // \p{Lu}
  kLowercaseLetter = 1ULL << 1,       // \p{Ll}
  kTitlecaseLetter = 1ULL << 2,       // \p{Lt}
  kModifierLetter = 1ULL << 3,        // \p{Lm}
  kOtherLetter = 1ULL << 4,           // \p{Lo}
  kNonspacing = 1ULL << 5,            // \p{Mn}
  kSpacingMark = 1ULL << 6,           // \p{Mc}
  kEnclosingMark = 1ULL << 7,         // \p{Me}
  kDecimalNumber = 1ULL << 8,         // \p{Nd}, \d
  kLetterNumber = 1ULL << 9,          // \p{Nl}
  kOtherNumber = 1ULL << 10,          // \p{No}
  kConnector = 1ULL << 11,            // \p{Pc}
  kDash = 1ULL << 12,                 // \p{Pd}
  kOpening = 1ULL << 13,              // \p{Ps}
  kClosing = 1ULL << 14,              // \p{Pe}
  kInitialQuote = 1ULL << 15,         // \p{Pi}
  kFinalQuote = 1ULL << 16,           // \p{Pf}
  kOtherPunctuation = 1ULL << 17,     // \p{Po}
  kMathSymbol = 1ULL << 18,           // \p{Sm}
  kCurrency = 1ULL << 19,             // \p{Sc}
  kModifierSymbol = 1ULL << 20,       // \p{Sk}
  kOtherSymbol = 1ULL << 21,          // \p{So}
  kSpaceSeparator = 1ULL << 22,       // \p{Zs}
  kLineSeparator = 1ULL << 23,        // \p{Zl}
  kParagraphSeparator = 1ULL << 24,   // \p{Zp}
  kControlCharacter = 1ULL << 25,     // \p{Cc}
  kFormatCharacter = 1ULL << 26,      // \p{Cf}
  kPrivateUse = 1ULL << 27,           // \p{Co}
  kUnassigned = 1ULL << 28,           // \p{Cn}
  kSpace = 1ULL << 29,                // \s, and what WhitespaceSplit, Whitespace and Bert drop
  kRegexWord = 1ULL << 30,            // \w
  kPlainWord = 1ULL << 31,            // \w in the pattern of Whitespace, which is another one
  kNumeric = 1ULL << 32,              // split off by Digits; not the same as kNumber
  kIsolatedPunctuation = 1ULL << 33,  // split off by Punctuation and Bert
  kHan = 1ULL << 34,                  // \p{Han}
  kHiragana = 1ULL << 35,             // \p{Hiragana}
  kKatakana = 1ULL << 36,             // \p{Katakana}

  kLetter = (1ULL << 5) - 1,                        // \p{L}
  kMark = (1ULL << 8) - (1ULL << 5),                // \p{M}
  kNumber = (1ULL << 11) - (1ULL << 8),             // \p{N}
  kRegexPunctuation = (1ULL << 18) - (1ULL << 11),  // \p{P}
  kSymbol = (1ULL << 22) - (1ULL << 18),            // \p{S}
  kSeparator = (1ULL << 25) - (1ULL << 22),         // \p{Z}
  kOtherCategory = (1ULL << 29) - (1ULL << 25),     // \p{C}
};

// Number of classes; character_class() is below it.
inline constexpr unsigned kCharacterClasses = 55;

namespace character_detail {

inline constexpr unsigned kPageBits = 8;
inline constexpr unsigned kPageSize = 1U << kPageBits;
inline constexpr char32_t kCodePoints = 0x110000;

extern const std::uint8_t kPages[kCodePoints >> kPageBits];  // code point / 256 -> page
extern const std::uint8_t kClassOf[];                        // page * 256 + low byte -> class
extern const std::uint64_t kTraits[kCharacterClasses];       // class -> CharacterTrait bits

}  // namespace character_detail

// Class of `c`, below kCharacterClasses; 0, that of unassigned ones, above U+10FFFF.
[[nodiscard]] inline unsigned character_class(char32_t c) {
  using namespace character_detail;
  if (c >= kCodePoints) return 0;
  return kClassOf[std::uint32_t{kPages[c >> kPageBits]} * kPageSize + (c & (kPageSize - 1))];
}

// CharacterTrait bits that all of a class have.
[[nodiscard]] inline std::uint64_t traits_of_class(unsigned character_class) {
  return character_detail::kTraits[character_class];
}

// CharacterTrait bits of `c`.
[[nodiscard]] inline std::uint64_t traits(char32_t c) {
  return traits_of_class(character_class(c));
}

// True when `c` has any of the traits in `wanted`: is_any(c, kLetter | kNumber).
[[nodiscard]] inline bool is_any(char32_t c, std::uint64_t wanted) {
  return (traits(c) & wanted) != 0;
}

}  // namespace vecsmith

#endif  // VECSMITH_CHARACTER_CLASSES_HPP_
