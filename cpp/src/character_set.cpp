#include "character_set.hpp"

#include <algorithm>

namespace vecsmith {

CharacterSet CharacterSet::of_traits(std::uint64_t wanted) {
  CharacterSet set;
  for (char32_t c = 0; c < 0x80; ++c) {
    if (is_any(c, wanted)) set.add(c);
  }
  for (unsigned i = 0; i < kCharacterClasses; ++i) {
    if ((traits_of_class(i) & wanted) != 0) set.classes_ |= std::uint64_t{1} << i;
  }
  return set;
}

void CharacterSet::add_range(char32_t first, char32_t last) {
  for (; first <= last && first < 0x80; ++first) {
    ascii_[first >> 6U] |= std::uint64_t{1} << (first & 63U);
  }
  if (first > last) return;
  ranges_.push_back({first, last});
  std::ranges::sort(ranges_, {}, &Range::first);
  std::vector<Range> merged;
  for (const Range& range : ranges_) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  ranges_ = std::move(merged);
}

bool CharacterSet::unite(const CharacterSet& other) {
  if (complement_of_ranges_ || other.complement_of_ranges_) return false;
  for (std::size_t i = 0; i < ascii_.size(); ++i) ascii_[i] |= other.ascii_[i];
  classes_ |= other.classes_;
  for (const Range& range : other.ranges_) add_range(range.first, range.last);
  return true;
}

bool CharacterSet::intersect(const CharacterSet& other) {
  if (!ranges_.empty() || !other.ranges_.empty()) return false;
  for (std::size_t i = 0; i < ascii_.size(); ++i) ascii_[i] &= other.ascii_[i];
  classes_ &= other.classes_;
  return true;
}

void CharacterSet::complement() {
  for (std::uint64_t& bits : ascii_) bits = ~bits;
  if (ranges_.empty()) {
    classes_ ^= kAllClasses;
  } else {
    complement_of_ranges_ = !complement_of_ranges_;
  }
}

std::uint64_t CharacterSet::possible_classes() const {
  return ranges_.empty() ? classes_ : kAllClasses;
}

bool CharacterSet::in_ranges(char32_t c) const {
  const auto after = std::ranges::upper_bound(ranges_, c, {}, &Range::first);
  return after != ranges_.begin() && c <= std::prev(after)->last;
}

}  // namespace vecsmith
