#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vecsmith/bpe.hpp"

namespace vecsmith {

/// Which pairs of symbols merge, and what becomes of a row of symbols: again and again the most
/// important of its pairs merges, the leftmost of equal ones, until none is left.
class Merges {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;
  /// Symbols and merges are numbered in so many bits, so that a pair and its rank are one word.
  static constexpr unsigned kBits = 21;
  static constexpr std::size_t kLimit = std::size_t{1} << kBits;
  /// Bits of a place in a row that merge_short() takes, and symbols of such a row.
  static constexpr unsigned kPlaceBits = 6;
  static constexpr std::size_t kShort = (std::size_t{1} << kPlaceBits) - 1;
  /// Rank of a pair that does not merge; there is room for a place behind it.
  static constexpr std::int32_t kNever = 0x7FFFFFFF >> kPlaceBits;
  static_assert(kNever >= std::int32_t{kLimit});

  /// Throws std::invalid_argument for more merges than kLimit. Symbols must be below kLimit.
  explicit Merges(std::span<const BpeSettings::Merge> merges);

  /// How soon a pair merges: 0 before all others.
  std::int32_t rank(std::uint32_t left, std::uint32_t right) const {
    return answer(question(left, right));
  }

  /// Merges a row of at most kShort symbols; those that are gone become kNone. `ranks` holds the
  /// rank of each symbol with the next one; both have room for kShort + 1, and `ranks` is used up.
  void merge_short(std::uint32_t* symbols, std::int32_t* ranks, std::size_t n) const;

  /// A row on its own. `ranks` and what becomes of `symbols` are as in merge_short().
  template <std::size_t kMost>
  struct Row {
    static constexpr std::size_t kLongest = kMost;
    std::int32_t ranks[kMost + 1];
    std::uint32_t symbols[kMost + 1];
    std::size_t n;
  };
  using WordRow = Row<31>;  ///< shorter, so that what is looked at lies closer
  using WindowRow = Row<kShort>;
  static constexpr std::size_t kMostRows = 16;

  /// Merges up to kMostRows rows, step by step in turn: one alone would mostly wait for memory.
  template <std::size_t kMost>
  void merge_rows(std::span<Row<kMost>> rows) const;

  /// Working memory for a row of `n` symbols: 2 n in `heap`, n in each of the others. `ranks` holds
  /// the rank of each symbol with the next one.
  struct Space {
    std::int32_t* ranks;
    std::uint32_t *before, *after;
    std::uint64_t* heap;
  };

  /// The same of a row of any length below 2^32 - 1.
  void merge_long(std::uint32_t* symbols, std::size_t n, const Space& space) const;

 private:
  // A pair, and where it is if it merges.
  struct Question {
    std::uint64_t pair;
    const std::uint64_t* slot;
  };
  // A merge of which the pairs with its neighbours are asked for.
  struct Step {
    std::size_t at, last;
    Question before, after;
  };
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  // A symbol behind the last, which merges with none.
  static constexpr std::uint32_t kEnd = kLimit - 1;

  static std::uint64_t pair_of(std::uint32_t left, std::uint32_t right) {
    return (std::uint64_t{left} << kBits) | right;
  }
  Question question(std::uint32_t left, std::uint32_t right) const {
    const std::uint64_t pair = pair_of(left, right);
    const std::uint64_t mixed = mix(pair);
    return {pair, slots_.data() + home_of(mixed, factors_[mixed & bucket_mask_])};
  }
  // No branch: whether a pair merges cannot be predicted.
  static std::int32_t answer(Question question) {
    const std::uint64_t slot = *question.slot;
    const auto is_other = static_cast<std::int32_t>(slot >> kBits != question.pair);
    return static_cast<std::int32_t>(slot & (kLimit - 1)) | (-is_other & kNever);
  }
  std::uint64_t mix(std::uint64_t pair) const {
    const std::uint64_t product = pair * multiplier_;
    return product ^ product >> 32U;
  }
  std::size_t home_of(std::uint64_t mixed, std::uint64_t factor) const {
    return static_cast<std::size_t>(mixed * factor >> shift_);
  }
  static void keep_last_of_equal_pairs(std::vector<std::uint64_t>& slots);
  bool fill(std::span<const std::uint64_t> all);
  bool place(std::span<const std::uint64_t> slots, std::uint16_t& factor);
  bool begin_step(std::uint32_t* symbols, std::int32_t* keys, std::size_t whole,
                  std::uint64_t& alive, Step& step) const;
  static void end_step(std::int32_t* keys, const Step& step);

  // Hash and displace (Pagh, 1999): pairs fall into buckets, and each bucket has a factor by which
  // its pairs find slots of their own. A slot is the pair and its rank, all ones where it is empty.
  std::vector<std::uint64_t> slots_;
  std::vector<std::uint16_t> factors_;
  std::uint64_t bucket_mask_ = 0;
  unsigned shift_ = 0;
  std::uint64_t multiplier_ = 0;
  std::vector<std::uint32_t> merged_;  // rank -> symbol
};

}  // namespace vecsmith
