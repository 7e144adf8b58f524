#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vecsmith/cpu.hpp"
#include "vecsmith/memory_pool.hpp"

namespace vecsmith {

/// Token ids of texts: text i has ids[offsets[i] .. offsets[i + 1]).
struct BagView {
  std::span<const std::uint32_t> ids;
  std::span<const std::int64_t> offsets;
  std::size_t n_texts() const { return offsets.size() - 1; }
};

/// Throws std::out_of_range where offsets do not rise from 0 to the number of ids, or an id is not
/// below n_rows.
void check(const BagView& bag, std::size_t n_rows);

/// Rows of a table in training: row-major float32 [n_rows, dim], and a factor of each or null.
struct RowsView {
  const float* rows = nullptr;
  const float* token_weights = nullptr;
  std::size_t n_rows = 0;
  std::size_t dim = 0;
};

/// Writes the mean of each text's rows, times their weights, to out + i * dim; no tokens give
/// zeros.
///
/// The bits are those of Pooler, for texts of up to 65,536 tokens: rows are added in order in
/// float32. It is faster for large batches, whose rows it first lays side by side, the most
/// frequent ones together. Throws as check() does.
void mean_rows(const RowsView& table, const BagView& bag, CpuLevel level, std::size_t n_threads,
               MemoryPool& pool, float* out);

}  // namespace vecsmith
