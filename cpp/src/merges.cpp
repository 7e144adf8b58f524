#include "merges.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <stdexcept>
#include <string>

namespace vecsmith {

namespace {

// Slots that a search may pass. A table that is half empty stays far below it, unless its pairs
// were chosen to collide: then another multiplier is taken.
constexpr std::size_t kLongestProbe = 256;
constexpr int kMultipliers = 64;

// Steps of a Weyl sequence, mixed (splitmix64).
std::uint64_t multiplier_number(std::uint64_t n) {
  std::uint64_t x = n * 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return (x ^ (x >> 31)) | 1U;
}

}  // namespace

Merges::Merges(std::span<const BpeSettings::Merge> merges) {
  if (merges.size() >= kLimit) {
    throw std::invalid_argument("found " + std::to_string(merges.size()) +
                                " merges, expected fewer than " + std::to_string(kLimit));
  }
  merged_.reserve(merges.size());
  for (const BpeSettings::Merge& merge : merges) merged_.push_back(merge.merged);
  const std::size_t size = std::bit_ceil(2 * merges.size() + 2);
  mask_ = size - 1;
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(size));
  // The sequence begins where the content says, so no content can be made for all of it.
  std::uint64_t content = merges.size();
  for (const BpeSettings::Merge& merge : merges) {
    content = (content ^ pair_of(merge.left, merge.right)) * 0x9E3779B97F4A7C15ULL;
    content ^= content >> 29;
  }
  for (int attempt = 0; attempt < kMultipliers; ++attempt) {
    multiplier_ = multiplier_number(content + static_cast<std::uint64_t>(attempt) + 1);
    if (fill(merges)) return;
  }
  throw std::invalid_argument("merges that collide in every table");
}

bool Merges::fill(std::span<const BpeSettings::Merge> merges) {
  slots_.assign(mask_ + 1, 0);
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    if (!put(pair_of(merges[rank].left, merges[rank].right), rank)) return false;
  }
  return true;
}

bool Merges::put(std::uint64_t pair, std::uint64_t rank) {
  std::size_t i = home_of(pair);
  for (std::size_t passed = 0; passed < kLongestProbe; ++passed, i = (i + 1) & mask_) {
    if (slots_[i] == 0 || slots_[i] >> (kBits + 1) == pair) {
      slots_[i] = (pair << (kBits + 1)) | (rank << 1) | 1U;
      return true;
    }
  }
  return false;
}

void Merges::merge_short(std::uint32_t* symbols, std::int32_t* ranks, std::size_t n) const {
  // A rank and its place are one number, so the least of them is the pair that merges next, and
  // finding it takes no branch. Symbols keep their places; those that are gone are passed over.
  constexpr unsigned kPlaceBits = 6;
  static_assert(kShort == 1U << kPlaceBits && kBits + kPlaceBits < 31);
  if (n < 2) return;
  std::uint8_t before[kShort + 1];
  std::uint8_t after[kShort + 1];
  std::int32_t* const keys = ranks;
  const auto key_of = [](std::int32_t rank, std::size_t place) {
    return rank == kNever
               ? kNever
               : static_cast<std::int32_t>(rank << kPlaceBits) | static_cast<std::int32_t>(place);
  };
  for (std::size_t i = 0; i < n; ++i) {
    before[i] = static_cast<std::uint8_t>(i - 1);
    after[i] = static_cast<std::uint8_t>(i + 1);
    keys[i] = key_of(i + 1 < n ? ranks[i] : kNever, i);
  }
  const std::size_t whole = (n + 7) / 8 * 8;
  for (std::size_t i = n; i < whole; ++i) keys[i] = kNever;
  while (true) {
    std::int32_t best = kNever;
    for (std::size_t i = 0; i < whole; ++i) best = keys[i] < best ? keys[i] : best;
    if (best == kNever) return;
    const std::size_t at = static_cast<std::size_t>(best) % kShort;
    const std::size_t gone = after[at];
    const std::size_t next = after[gone];
    symbols[at] = merged_[static_cast<std::size_t>(best >> kPlaceBits)];
    symbols[gone] = kNone;
    keys[gone] = kNever;
    after[at] = static_cast<std::uint8_t>(next);
    before[next] = static_cast<std::uint8_t>(at);
    keys[at] = next < n ? key_of(rank(symbols[at], symbols[next]), at) : kNever;
    if (at > 0) {
      const std::size_t last = before[at];
      keys[last] = key_of(rank(symbols[last], symbols[at]), last);
    }
  }
}

void Merges::merge_long(std::uint32_t* symbols, std::size_t n, const Space& space) const {
  std::int32_t* const ranks = space.ranks;
  std::uint64_t* const heap = space.heap;
  const auto size = static_cast<std::uint32_t>(n);
  std::size_t waiting = 0;
  const auto soonest_last = std::greater<>{};
  const auto entry_of = [&](std::uint32_t at) {
    return (static_cast<std::uint64_t>(ranks[at]) << 32) | at;
  };
  for (std::uint32_t i = 0; i < size; ++i) {
    if (i + 1 == size) ranks[i] = kNever;
    space.before[i] = i == 0 ? kNone : i - 1;
    space.after[i] = i + 1;
    if (ranks[i] != kNever) heap[waiting++] = entry_of(i);
  }
  std::make_heap(heap, heap + waiting, soonest_last);
  // A merge takes one entry and leaves two at most, so 2 n entries are enough.
  const auto find_rank = [&](std::uint32_t at) {
    const std::uint32_t next = space.after[at];
    ranks[at] = next < size ? rank(symbols[at], symbols[next]) : kNever;
    if (ranks[at] == kNever) return;
    heap[waiting++] = entry_of(at);
    std::push_heap(heap, heap + waiting, soonest_last);
  };
  while (waiting > 0) {
    std::pop_heap(heap, heap + waiting, soonest_last);
    const std::uint64_t entry = heap[--waiting];
    const auto at = static_cast<std::uint32_t>(entry);
    if (static_cast<std::uint64_t>(ranks[at]) != entry >> 32) continue;  // another merge was faster
    const std::uint32_t next = space.after[at];
    symbols[at] = merged_[static_cast<std::size_t>(ranks[at])];
    symbols[next] = kNone;
    ranks[next] = kNever;
    space.after[at] = space.after[next];
    if (space.after[at] < size) space.before[space.after[at]] = at;
    find_rank(at);
    if (space.before[at] != kNone) find_rank(space.before[at]);
  }
}

}  // namespace vecsmith
