// Extended grapheme clusters, as Hugging Face `tokenizers` sees them where it applies a character
// map: rules GB3 to GB11 of Unicode Standard Annex 29, over classes that
// scripts/generate_graphemes.py measures through that library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vecsmith/unicode.hpp"

namespace vecsmith {

// What a character is to the rules. Regional indicators are kOther: two of them are one cluster by
// the rules, but of eight bytes, and no map can tell that from two clusters of four.
enum class GraphemeClass : std::uint8_t {
  kOther,
  kControl,
  kCarriageReturn,
  kLineFeed,
  kExtend,          // follows anything but a control
  kConjunctExtend,  // the same, and may stand between the consonants of an Indic conjunct
  kLinker,          // the same, and makes a conjunct of what is around it
  kJoiner,          // U+200D
  kSpacingMark,
  kPrepend,  // anything but a control follows it
  kLeading,  // Hangul jamo, and syllables without and with a trailing consonant
  kVowel,
  kTrailing,
  kOpenSyllable,
  kClosedSyllable,
  kPictograph,
  kConsonant,  // of a script that has conjuncts
};
inline constexpr std::size_t kGraphemeClasses = 17;

namespace grapheme_detail {

inline constexpr std::uint32_t kPageBits = 7;
inline constexpr std::uint32_t kPageSize = 1U << kPageBits;
inline constexpr std::size_t kPages = 0x110000U >> kPageBits;

// Where each page of code points begins in the classes; pages that are alike are stored once.
extern const std::uint8_t kPageOf[kPages];
extern const std::uint8_t kClassOf[];
extern const std::size_t kStoredPages;

constexpr std::uint32_t bit(GraphemeClass c) { return 1U << static_cast<unsigned>(c); }

template <typename... Classes>
constexpr std::uint32_t bits(Classes... classes) {
  return (bit(classes) | ...);
}

// For each class those that may follow it in one cluster, whatever else is around them.
constexpr std::array<std::uint32_t, kGraphemeClasses> followers() {
  using enum GraphemeClass;
  constexpr std::uint32_t kControls = bits(kControl, kCarriageReturn, kLineFeed);
  constexpr std::uint32_t kMarks = bits(kExtend, kConjunctExtend, kLinker, kJoiner, kSpacingMark);
  std::array<std::uint32_t, kGraphemeClasses> all{};
  for (std::size_t i = 0; i < kGraphemeClasses; ++i) {
    if ((kControls >> i & 1U) == 0) all[i] = kMarks;
  }
  const auto of = [&all](GraphemeClass c) -> std::uint32_t& {
    return all[static_cast<std::size_t>(c)];
  };
  of(kCarriageReturn) = bit(kLineFeed);
  of(kPrepend) = ((1U << kGraphemeClasses) - 1) & ~kControls;
  of(kLeading) |= bits(kLeading, kVowel, kOpenSyllable, kClosedSyllable);
  of(kOpenSyllable) |= bits(kVowel, kTrailing);
  of(kVowel) |= bits(kVowel, kTrailing);
  of(kClosedSyllable) |= bit(kTrailing);
  of(kTrailing) |= bit(kTrailing);
  of(kConjunctExtend) |= bit(kConsonant);
  of(kLinker) |= bit(kConsonant);
  of(kJoiner) |= bits(kConsonant, kPictograph);
  return all;
}

inline constexpr std::array<std::uint32_t, kGraphemeClasses> kFollowers = followers();

}  // namespace grapheme_detail

// One bit, 1 << class, for each class that may follow `before` in one cluster.
constexpr std::uint32_t grapheme_followers(GraphemeClass before) {
  return grapheme_detail::kFollowers[static_cast<std::size_t>(before)];
}

// False when there is a boundary between the two, whatever stands before and behind them.
constexpr bool may_join(GraphemeClass before, GraphemeClass after) {
  return (grapheme_followers(before) & grapheme_detail::bit(after)) != 0;
}

// The class of a code point up to kMaxCodePoint.
[[nodiscard]] inline GraphemeClass grapheme_class(char32_t c) {
  using namespace grapheme_detail;
  const std::size_t page = kPageOf[c >> kPageBits];
  return static_cast<GraphemeClass>(kClassOf[page * kPageSize + (c & (kPageSize - 1))]);
}

// One cluster as it grows, from its first character on.
class GraphemeCluster {
 public:
  explicit GraphemeCluster(GraphemeClass first) : last_(first) { remember(first); }

  // Takes in `next` and returns true, or returns false where a new cluster begins.
  bool add(GraphemeClass next) {
    if (!may_join(last_, next)) return false;
    // Prepend takes all; for the others two rules look further back than one character.
    if (last_ != GraphemeClass::kPrepend) {
      if (next == GraphemeClass::kConsonant && conjunct_ != Conjunct::kLinked) return false;
      if (next == GraphemeClass::kPictograph && emoji_ != Emoji::kJoined) return false;
    }
    remember(next);
    last_ = next;
    return true;
  }

 private:
  // GB9c: consonant, then extending marks with a linker among them.
  enum class Conjunct : std::uint8_t { kNone, kConsonant, kLinked };
  // GB11: pictograph, extending marks, one joiner.
  enum class Emoji : std::uint8_t { kNone, kPictograph, kJoined };

  void remember(GraphemeClass next) {
    using enum GraphemeClass;
    if (next == kConsonant) {
      conjunct_ = Conjunct::kConsonant;
    } else if (next == kLinker && conjunct_ != Conjunct::kNone) {
      conjunct_ = Conjunct::kLinked;
    } else if (next != kConjunctExtend && next != kJoiner) {
      conjunct_ = Conjunct::kNone;
    }
    const bool extends = next == kExtend || next == kConjunctExtend || next == kLinker;
    if (next == kPictograph) {
      emoji_ = Emoji::kPictograph;
    } else if (next == kJoiner && emoji_ == Emoji::kPictograph) {
      emoji_ = Emoji::kJoined;
    } else if (!extends || emoji_ != Emoji::kPictograph) {
      emoji_ = Emoji::kNone;
    }
  }

  GraphemeClass last_;
  Conjunct conjunct_ = Conjunct::kNone;
  Emoji emoji_ = Emoji::kNone;
};

}  // namespace vecsmith
