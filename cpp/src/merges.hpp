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
  static constexpr std::int32_t kNever = 0x7FFFFFFF;  ///< rank of a pair that does not merge
  /// Symbols and merges are numbered in so many bits, so that a pair and its rank are one word.
  static constexpr unsigned kBits = 21;
  static constexpr std::size_t kLimit = std::size_t{1} << kBits;
  /// Symbols of a row that merge_short() takes.
  static constexpr std::size_t kShort = 64;

  /// Throws std::invalid_argument for more merges than kLimit. Symbols must be below kLimit.
  explicit Merges(std::span<const BpeSettings::Merge> merges);

  /// How soon a pair merges: 0 before all others.
  std::int32_t rank(std::uint32_t left, std::uint32_t right) const {
    const std::uint64_t pair = pair_of(left, right);
    const std::uint64_t* const slots = slots_.data();
    for (std::size_t i = home_of(pair);; i = (i + 1) & mask_) {
      const std::uint64_t slot = slots[i];
      if (slot == 0) return kNever;
      if (slot >> (kBits + 1) == pair) {
        return static_cast<std::int32_t>(slot >> 1 & (kLimit - 1));
      }
    }
  }

  /// Merges a row of at most kShort symbols; those that are gone become kNone. `ranks` holds the
  /// rank of each symbol with the next one; it has room for kShort and is used up.
  void merge_short(std::uint32_t* symbols, std::int32_t* ranks, std::size_t n) const;

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
  static std::uint64_t pair_of(std::uint32_t left, std::uint32_t right) {
    return (std::uint64_t{left} << kBits) | right;
  }
  std::size_t home_of(std::uint64_t pair) const {
    return static_cast<std::size_t>((pair * multiplier_) >> shift_);
  }
  bool fill(std::span<const BpeSettings::Merge> merges);
  bool put(std::uint64_t pair, std::uint64_t rank);

  // A slot is the pair, its rank and a set bit; 0 where it is empty. Linear probing.
  std::vector<std::uint64_t> slots_;
  std::size_t mask_ = 0;
  unsigned shift_ = 0;
  std::uint64_t multiplier_ = 0;
  std::vector<std::uint32_t> merged_;  // rank -> symbol
};

}  // namespace vecsmith
