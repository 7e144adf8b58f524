#pragma once

// The products of a block of queries with all candidates, and back: one form for float32 factors,
// one for bfloat16 factors in tile registers.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/contrast.hpp"
#include "vecsmith/memory_pool.hpp"
#include "vecsmith/nested_info_nce.hpp"

namespace vecsmith {

/// Prefix segments laid side by side, each widened with zeros to whole tiles.
struct Segments {
  struct Segment {
    std::size_t begin;   ///< first dimension
    std::size_t width;   ///< dimensions
    std::size_t at;      ///< where it begins in the widened layout
    std::size_t padded;  ///< width in the widened layout
  };
  std::vector<Segment> all;
  std::size_t total = 0;  ///< width of the widened layout

  Segments(std::span<const std::size_t> lengths, std::size_t tile);
};

/// Dot products of a block of queries, and after they were replaced by their gradients these.
struct Planes {
  PooledArray<float> values;  ///< [n_prefixes, n_rows, stride], zeros behind the columns
  std::size_t n_rows = 0;     ///< a multiple of what the products want
  std::size_t stride = 0;

  float* row(std::size_t k, std::size_t r) { return values.data() + (k * n_rows + r) * stride; }
  const float* row(std::size_t k, std::size_t r) const {
    return values.data() + (k * n_rows + r) * stride;
  }
};

/// Products of one batch. Calls come in this order for each block: open, all tasks of dots, keep
/// for all rows in pairs, all tasks of back, close. Tasks of a kind may run at the same time.
class ContrastProducts {
 public:
  virtual ~ContrastProducts() = default;

  virtual std::size_t row_unit() const = 0;     ///< rows of a block come in multiples of this
  virtual std::size_t column_unit() const = 0;  ///< candidates are padded to multiples of this

  virtual void open(std::size_t first_query, std::size_t n_queries, std::size_t n_threads) = 0;
  virtual std::size_t n_dots_tasks() const = 0;
  virtual void dots(std::size_t first_task, std::size_t last_task, Planes& planes) = 0;
  /// Takes over gradients of rows r and r + 1 of all planes.
  virtual void keep(std::size_t r, Planes& planes) = 0;
  virtual std::size_t n_back_tasks() const = 0;
  /// Adds gradients of the block's queries and of all candidates.
  virtual void back(std::size_t first_task, std::size_t last_task, const Planes& planes) = 0;
  /// Writes the gradient of query `first_query + r` in its own layout.
  virtual void write_query(std::size_t r, float* out) const = 0;
  /// Writes those of candidates [first, last) once all blocks are through.
  virtual void write_candidates(std::size_t first, std::size_t last, float* out,
                                std::size_t stride) const = 0;
};

std::unique_ptr<ContrastProducts> float_products(const NestedContrast& contrast, CpuLevel level,
                                                 std::size_t block_rows, std::size_t n_threads,
                                                 MemoryPool& pool);
#ifdef VECSMITH_AMX
std::unique_ptr<ContrastProducts> tile_products(const NestedContrast& contrast,
                                                std::size_t block_rows, std::size_t n_threads,
                                                MemoryPool& pool);
#endif

}  // namespace vecsmith
