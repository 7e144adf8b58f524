#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vecsmith/bag.hpp"
#include "vecsmith/cpu.hpp"
#include "vecsmith/memory_pool.hpp"

namespace vecsmith {

/// Which texts of some bags each row is in: the way back from vectors to rows.
class TouchedRows {
 public:
  /// The memory behind the bags is not needed afterwards. Throws as check() does.
  TouchedRows(std::span<const BagView> bags, std::size_t n_rows);

  /// Rows that occur, ascending.
  const std::vector<std::int64_t>& ids() const { return ids_; }
  std::size_t n_rows() const { return n_rows_; }
  const std::vector<std::size_t>& n_texts() const { return n_texts_; }

  /// Where gradients of rows go, for ids() in order.
  struct Out {
    float* rows;      ///< [n_ids, dim]
    float* weights;   ///< gradients of token weights [n_ids], or null
    double* squares;  ///< squared length of each row's gradient, its weight's included [n_ids]
  };

  /// Gradients of the rows, where a text's vector is the mean of its tokens' rows, each times its
  /// token's weight.
  ///
  /// Texts are added in the order of the bags, so results do not depend on the number of threads.
  /// `d_vectors` has one array [n_texts, dim] for each bag; `table` [n_rows, dim] and
  /// `token_weights` [n_rows] are null where there are no token weights.
  void gather(std::span<const float* const> d_vectors, std::size_t dim, const float* table,
              const float* token_weights, CpuLevel level, std::size_t n_threads, MemoryPool& pool,
              const Out& out) const;

 private:
  struct Stretch {
    std::size_t begin, end;
  };
  Stretch stretch(std::size_t bag, std::size_t i) const;

  // What is summed over a row's columns, and what for.
  struct Sums {
    const float* table;
    const float* token_weights;
    double* squares;
    double* products;
  };
  void gather_row(std::size_t i, const float* block, std::size_t column, std::size_t width,
                  std::size_t dim, CpuLevel level, const Sums& sums, float* row) const;

  std::size_t n_rows_;
  std::vector<std::int64_t> ids_;
  std::vector<std::size_t> n_texts_;
  std::vector<std::size_t> ends_;     // of each bag and id: where its texts end
  std::vector<std::uint32_t> texts_;  // of the bag
  std::vector<float> shares_;         // of the row in the text's mean
};

}  // namespace vecsmith
