#include "merges.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>

namespace vecsmith {

namespace {

constexpr int kMultipliers = 64;
// Pairs of a bucket on average, and at most: more take another multiplier.
constexpr std::size_t kPairsPerBucket = 4;
constexpr std::size_t kMostPairs = 64;
constexpr unsigned kMostFactor = 0xFFFF;

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
  const std::size_t n = merges.size();
  const std::size_t size = std::bit_ceil(n + n / 4 + 2);
  slots_.resize(size);
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(size));
  factors_.resize(std::bit_ceil(n / kPairsPerBucket + 1));
  bucket_mask_ = factors_.size() - 1;
  // The sequence begins where the content says, so no content can be made for all of it.
  std::uint64_t content = merges.size();
  for (const BpeSettings::Merge& merge : merges) {
    content = (content ^ pair_of(merge.left, merge.right)) * 0x9E3779B97F4A7C15ULL;
    content ^= content >> 29;
  }
  std::vector<std::uint64_t> slots(n);
  for (std::size_t rank = 0; rank < n; ++rank) {
    slots[rank] = pair_of(merges[rank].left, merges[rank].right) << kBits | rank;
  }
  for (int attempt = 0; attempt < kMultipliers; ++attempt) {
    multiplier_ = multiplier_number(content + static_cast<std::uint64_t>(attempt) + 1);
    if (fill(slots)) return;
    if (attempt == 0) keep_last_of_equal_pairs(slots);
  }
  throw std::invalid_argument("merges that collide in every table");
}

// Hundreds of equal pairs fill a bucket whatever the multiplier. Sorting takes as long as all else
// together, and files that are well made have none.
void Merges::keep_last_of_equal_pairs(std::vector<std::uint64_t>& slots) {
  std::ranges::sort(slots, std::ranges::greater{});
  const auto is_same = [](std::uint64_t a, std::uint64_t b) { return a >> kBits == b >> kBits; };
  const auto repeated = std::ranges::unique(slots, is_same);
  slots.erase(repeated.begin(), repeated.end());
}

bool Merges::fill(std::span<const std::uint64_t> all) {
  std::ranges::fill(slots_, kEmpty);
  std::vector<std::uint32_t> ends(factors_.size() + 1);
  const auto bucket_of = [&](std::uint64_t slot) { return mix(slot >> kBits) & bucket_mask_; };
  for (const std::uint64_t slot : all) ++ends[bucket_of(slot) + 1];
  std::vector<std::vector<std::uint32_t>> buckets_of_size(kMostPairs + 1);
  for (std::uint32_t b = 0; b + 1 < ends.size(); ++b) {
    const std::size_t n = ends[b + 1];
    if (n > kMostPairs) return false;
    buckets_of_size[n].push_back(b);
    ends[b + 1] += ends[b];
  }
  // What is in each bucket; `ends` moves on from where each begins.
  std::vector<std::uint64_t> slots(all.size());
  for (const std::uint64_t slot : all) slots[ends[bucket_of(slot)]++] = slot;
  // The fullest first, while there is most room.
  for (std::size_t n = kMostPairs; n > 0; --n) {
    for (const std::uint32_t b : buckets_of_size[n]) {
      if (!place(std::span(slots).subspan(ends[b] - n, n), factors_[b])) return false;
    }
  }
  return true;
}

// Finds a factor that gives the pairs of a bucket slots of their own, and puts them there. Of equal
// pairs the last counts.
bool Merges::place(std::span<const std::uint64_t> slots, std::uint16_t& factor) {
  std::uint64_t kept[kMostPairs];
  std::size_t n = 0;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto is_same = [&](std::uint64_t later) { return later >> kBits == slots[i] >> kBits; };
    if (std::ranges::none_of(slots.subspan(i + 1), is_same)) kept[n++] = slots[i];
  }
  for (unsigned odd = 1; odd <= kMostFactor; odd += 2) {
    std::size_t done = 0;
    for (; done < n; ++done) {
      std::uint64_t& slot = slots_[home_of(mix(kept[done] >> kBits), odd)];
      if (slot != kEmpty) break;
      slot = kept[done];
    }
    if (done == n) {
      factor = static_cast<std::uint16_t>(odd);
      return true;
    }
    while (done-- > 0) slots_[home_of(mix(kept[done] >> kBits), odd)] = kEmpty;
  }
  return false;
}

namespace {

using Lanes = std::int32_t __attribute__((vector_size(16)));

inline Lanes load(const std::int32_t* keys) {
  Lanes lanes;
  std::memcpy(&lanes, keys, sizeof lanes);
  return lanes;
}

inline Lanes less_of(Lanes a, Lanes b) { return a < b ? a : b; }

// The least of `whole` numbers, a multiple of 8.
inline std::int32_t least_of(const std::int32_t* keys, std::size_t whole) {
  Lanes even = load(keys);
  Lanes odd = load(keys + 4);
  for (std::size_t at = 8; at < whole; at += 8) {
    even = less_of(even, load(keys + at));
    odd = less_of(odd, load(keys + at + 4));
  }
  even = less_of(even, odd);
  even = less_of(even, __builtin_shufflevector(even, even, 2, 3, 0, 1));
  even = less_of(even, __builtin_shufflevector(even, even, 1, 0, 3, 2));
  return even[0];
}

// A rank and its place are one number, so the least of them is the pair that merges next, and
// finding it takes no branch.
std::int32_t key_of(std::int32_t rank, std::size_t place) {
  return static_cast<std::int32_t>(rank << Merges::kPlaceBits) | static_cast<std::int32_t>(place);
}

// Makes keys of the ranks of `n` symbols, and of those up to `whole` what never merges.
void make_keys(std::int32_t* ranks, std::size_t n, std::size_t whole) {
  for (std::size_t i = 0; i + 1 < n; ++i) ranks[i] = key_of(ranks[i], i);
  for (std::size_t i = n - 1; i < whole; ++i) ranks[i] = key_of(Merges::kNever, i);
}

// Bits of `n` symbols and of the end.
std::uint64_t bits_of(std::size_t n) { return ~std::uint64_t{0} >> (63U - n); }

}  // namespace

// Merges one pair; false where none does. Symbols keep their places; `alive` has the bits of those
// that are not gone, and of what is behind the last. But for the end no branch: none could be
// predicted.
[[gnu::always_inline]] inline bool Merges::begin_step(std::uint32_t* symbols, std::int32_t* keys,
                                                      std::size_t whole, std::uint64_t& alive,
                                                      Step& step) const {
  const std::int32_t best = least_of(keys, whole);
  if (best >> kPlaceBits == kNever) return false;
  const std::size_t at = static_cast<std::size_t>(best) & kShort;
  const std::uint64_t ahead = alive & ~(~std::uint64_t{0} << at);
  std::uint64_t behind = alive & (~std::uint64_t{1} << at);
  const auto gone = static_cast<std::size_t>(std::countr_zero(behind));
  behind &= behind - 1;
  const auto next = static_cast<std::size_t>(std::countr_zero(behind));
  const auto last = static_cast<std::size_t>(std::bit_width(ahead | 1U)) - 1;
  alive ^= std::uint64_t{1} << gone;
  const std::uint32_t merged = merged_[static_cast<std::size_t>(best >> kPlaceBits)];
  step = {at, last, question(symbols[last], merged), question(merged, symbols[next])};
  symbols[at] = merged;
  symbols[gone] = kNone;
  keys[gone] = key_of(kNever, gone);
  return true;
}

[[gnu::always_inline]] inline void Merges::end_step(std::int32_t* keys, const Step& step) {
  // The first symbol is its own last one, for which this is put right by what follows.
  keys[step.last] = key_of(answer(step.before), step.last);
  keys[step.at] = key_of(answer(step.after), step.at);
}

void Merges::merge_short(std::uint32_t* symbols, std::int32_t* ranks, std::size_t n) const {
  if (n < 2) return;
  const std::size_t whole = (n + 7) / 8 * 8;  // at most kShort + 1
  make_keys(ranks, n, whole);
  symbols[n] = kEnd;
  std::uint64_t alive = bits_of(n);
  Step step;
  while (begin_step(symbols, ranks, whole, alive, step)) end_step(ranks, step);
}

template <std::size_t kMost>
void Merges::merge_rows(std::span<Row<kMost>> rows) const {
  std::uint64_t alive[kMostRows];
  std::size_t wholes[kMostRows];
  Step steps[kMostRows];
  std::size_t going[kMostRows];
  std::size_t n_going = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    Row<kMost>& row = rows[r];
    if (row.n < 2) continue;
    wholes[r] = row.n <= 16 ? 16 : kMost + 1;
    make_keys(row.ranks, row.n, wholes[r]);
    row.symbols[row.n] = kEnd;
    alive[r] = bits_of(row.n);
    going[n_going++] = r;
  }
  while (n_going > 0) {
    for (std::size_t i = 0; i < n_going;) {
      const std::size_t r = going[i];
      Step& step = steps[r];
      if (begin_step(rows[r].symbols, rows[r].ranks, wholes[r], alive[r], step)) {
        __builtin_prefetch(step.before.slot);
        __builtin_prefetch(step.after.slot);
        ++i;
      } else {
        going[i] = going[--n_going];
      }
    }
    for (std::size_t i = 0; i < n_going; ++i) end_step(rows[going[i]].ranks, steps[going[i]]);
  }
}

template void Merges::merge_rows(std::span<WordRow> rows) const;
template void Merges::merge_rows(std::span<WindowRow> rows) const;

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
