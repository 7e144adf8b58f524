#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vecsmith {

/// Where the children of a node find room while a double array is built.
///
/// A search for as many children goes on where the last one ended: what it left behind are holes
/// too small for them, and nodes of one child fill those.
class SlotSearch {
 public:
  /// Searches for `most_hints` children and more share a hint.
  explicit SlotSearch(std::size_t most_hints) : hints_(most_hints + 1) {}

  /// A base at which all `labels` fall on free slots. `make_room(base)` sees to it that the slots
  /// of any label from there on are in the array; `is_free(slot)` tells whether one is.
  template <typename MakeRoom, typename IsFree>
  std::uint32_t find_base(std::span<const std::uint32_t> labels, MakeRoom make_room,
                          IsFree is_free) {
    const std::size_t least = *std::ranges::min_element(labels);
    std::size_t& hint = hints_[std::min(labels.size(), hints_.size() - 1)];
    for (std::size_t slot = free_from(std::max(hint, least + 1), make_room, is_free);;
         slot = free_from(slot + 1, make_room, is_free)) {
      const std::size_t base = slot - least;
      make_room(base);
      if (std::ranges::all_of(labels, [&](std::uint32_t label) { return is_free(base + label); })) {
        hint = slot;
        return static_cast<std::uint32_t>(base);
      }
    }
  }

 private:
  template <typename MakeRoom, typename IsFree>
  std::size_t free_from(std::size_t slot, MakeRoom& make_room, IsFree& is_free) {
    std::size_t free = slot;
    while (true) {
      make_room(free);
      if (free >= skips_.size()) skips_.resize(free + 1);
      if (is_free(free)) break;
      free = std::max<std::size_t>(skips_[free], free + 1);
    }
    // The next search from any slot on the way jumps here at once.
    while (slot < free) {
      const std::size_t next = std::max<std::size_t>(skips_[slot], slot + 1);
      skips_[slot] = static_cast<std::uint32_t>(free);
      slot = next;
    }
    return free;
  }

  std::vector<std::uint32_t> skips_;  // where to look for a free slot from a taken one
  std::vector<std::size_t> hints_;    // where the last search for so many children ended
};

}  // namespace vecsmith
