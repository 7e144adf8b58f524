// The tables are constant data, found by two loads; only Hangul syllables are computed, because
// their 11,172 decompositions would be half of everything stored.

#include "vecsmith/unicode.hpp"

namespace vecsmith {

namespace unicode_detail {

#include "unicode_tables.inc"

}  // namespace unicode_detail

namespace {

// The Unicode standard, section 3.12: a syllable is a leading consonant, a vowel and perhaps a
// trailing consonant, counted from these.
constexpr char32_t kFirstSyllable = 0xAC00;
constexpr char32_t kFirstLeading = 0x1100;
constexpr char32_t kFirstVowel = 0x1161;
constexpr char32_t kBeforeFirstTrailing = 0x11A7;
constexpr char32_t kVowels = 21;
constexpr char32_t kTrailings = 28;  // counting none

Expansion decompose_hangul(char32_t syllable) {
  const char32_t index = syllable - kFirstSyllable;
  const char32_t trailing = index % kTrailings;
  const std::array<char32_t, 3> jamo = {
      kFirstLeading + index / (kVowels * kTrailings),
      kFirstVowel + index / kTrailings % kVowels,
      kBeforeFirstTrailing + trailing,
  };
  return Expansion({jamo.data(), trailing == 0 ? std::size_t{2} : std::size_t{3}});
}

}  // namespace

Expansion decompose(char32_t c) {
  const CodePoint& found = properties(c);
  if (found.decomposition_size == unicode_detail::kHangulDecomposition) return decompose_hangul(c);
  return Expansion({unicode_detail::kExpansions + found.decomposition_begin,
                    std::size_t{found.decomposition_size}});
}

Expansion lowercase(char32_t c) {
  const CodePoint& found = properties(c);
  return Expansion(
      {unicode_detail::kExpansions + found.lowercase_begin, std::size_t{found.lowercase_size}});
}

}  // namespace vecsmith
