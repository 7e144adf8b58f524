// Sets of characters, made of traits, characters and ranges, for patterns and splitters.

#ifndef VECSMITH_SRC_CHARACTER_SET_HPP_
#define VECSMITH_SRC_CHARACTER_SET_HPP_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "vecsmith/character_classes.hpp"
#include "vecsmith/unicode.hpp"

namespace vecsmith {

// Membership costs a bit test in ASCII and two table loads elsewhere, more where there are ranges.
class CharacterSet {
 public:
  struct Range {
    char32_t first, last;  // both in it, and not ASCII
  };

  CharacterSet() = default;
  static CharacterSet of_traits(std::uint64_t wanted);

  void add(char32_t c) { add_range(c, c); }
  void add_range(char32_t first, char32_t last);

  // False, and nothing changes, where this or `other` is the complement of a set with ranges.
  [[nodiscard]] bool unite(const CharacterSet& other);
  // False, and nothing changes, where this or `other` has ranges.
  [[nodiscard]] bool intersect(const CharacterSet& other);
  void complement();

  [[nodiscard]] bool contains(char32_t c) const {
    if (c < 0x80) return contains_ascii(static_cast<unsigned>(c));
    const bool listed =
        (classes_ >> character_class(c) & 1U) != 0 || (!ranges_.empty() && in_ranges(c));
    return listed != complement_of_ranges_;
  }
  [[nodiscard]] bool contains_ascii(unsigned c) const {
    return (ascii_[c >> 6U] >> (c & 63U) & 1U) != 0;
  }

  // Moves `p` behind the character there and says true, if it is in this set; needs p < end.
  [[nodiscard]] bool consume(const char*& p, const char* end) const {
    const auto byte = static_cast<unsigned char>(*p);
    if (byte < 0x80) {
      if (!contains_ascii(byte)) return false;
      ++p;
      return true;
    }
    const char* next = p;
    if (!contains(decode_utf8(next, end))) return false;
    p = next;
    return true;
  }

  [[nodiscard]] bool has_all_beyond_ascii() const { return classes_ == kAllClasses; }

  // Where the run of characters of this set ends that begins at `p`, `end` at the latest.
  [[nodiscard]] const char* skip(const char* p, const char* end) const {
    while (p != end && consume(p, end)) {
    }
    return p;
  }

  // One bit for each class of which characters beyond ASCII may be in this set.
  [[nodiscard]] std::uint64_t possible_classes() const;

 private:
  static constexpr std::uint64_t kAllClasses = (std::uint64_t{1} << kCharacterClasses) - 1;

  [[nodiscard]] bool in_ranges(char32_t c) const;

  std::array<std::uint64_t, 2> ascii_{};
  std::uint64_t classes_ = 0;          // beyond ASCII
  std::vector<Range> ranges_;          // in order, not touching
  bool complement_of_ranges_ = false;  // what is listed is not in it; only where there are ranges
};

}  // namespace vecsmith

#endif  // VECSMITH_SRC_CHARACTER_SET_HPP_
