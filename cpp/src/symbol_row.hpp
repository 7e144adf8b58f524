#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "merges.hpp"

namespace vecsmith {

/// Where a symbol begins that is not the first of its character.
inline constexpr std::size_t kInside = static_cast<std::size_t>(-1);
/// Symbols that one character may add to a row, with unknown ones that waited for it.
inline constexpr std::size_t kMostOfCharacter = 8;

/// A row of symbols: where in the word each begins, and its rank with the next one.
struct SymbolRow {
  std::span<std::uint32_t> symbols;
  std::span<std::size_t> begins;
  std::span<std::int32_t> ranks;
  std::size_t n = 0;
  std::size_t end = 0;  ///< where in the word the row ends

  void push(std::uint32_t symbol, std::size_t begin) {
    symbols[n] = symbol;
    begins[n++] = begin;
  }

  /// Closes the gaps that merges left.
  void drop_gone() {
    std::size_t left = 0;
    for (std::size_t i = 0; i < n; ++i) {
      symbols[left] = symbols[i];
      begins[left] = begins[i];
      left += symbols[i] != Merges::kNone ? 1U : 0U;
    }
    n = left;
  }
};

/// Memory for rows of up to so many symbols.
template <std::size_t kSymbols>
struct RowSpace {
  std::uint32_t symbols[kSymbols + kMostOfCharacter];
  std::size_t begins[kSymbols + kMostOfCharacter];
  std::int32_t ranks[kSymbols + kMostOfCharacter];

  /// A row of `n` symbols, and what one character may add to them.
  SymbolRow row(std::size_t n) {
    const std::size_t room = n + kMostOfCharacter;
    return {std::span(symbols).first(room), std::span(begins).first(room),
            std::span(ranks).first(room)};
  }
};

}  // namespace vecsmith
