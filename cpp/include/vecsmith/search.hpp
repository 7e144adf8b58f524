#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vecsmith/cpu.hpp"

namespace vecsmith {

/// What a row to be searched is made of.
enum class VectorType {
  kFloat32,
  kFloat16,
  kInt8,
  kBits,  ///< one bit a dimension, the first in the lowest bit of a byte; set where positive
};

/// Longest row: integer sums of this many products fit 32 bits.
inline constexpr std::size_t kMostSearchDims = 65536;

/// Rows to be searched: memory of the caller's, read only and never copied as a whole.
///
/// The score of row n for a query q is factors[n] * dot(q, row n) + offsets[n], in float32.
struct SearchedRows {
  const void* values = nullptr;
  VectorType type = VectorType::kFloat32;
  std::size_t n_rows = 0;
  std::size_t dim = 0;             ///< dimensions of a row that count: a row may be longer
  std::size_t stride = 0;          ///< bytes from a row to the next
  const float* factors = nullptr;  ///< n_rows, or null for ones
  const float* offsets = nullptr;  ///< n_rows, or null for zeros
};

/// Queries: float32 rows, of which the first `dim` entries of the rows searched are used.
struct SearchQueries {
  const float* values = nullptr;
  std::size_t n = 0;
  std::size_t stride = 0;  ///< numbers from a query to the next
};

/// Where results go: [n, k] each, best first. Places that are left over hold -1 and -infinity.
struct SearchResults {
  std::int64_t* places = nullptr;
  float* scores = nullptr;
  std::size_t k = 0;
};

/// Finds the k rows of highest score for each query; of equal scores the lower row comes first.
///
/// The dot product is, by type:
/// - float32 and float16: sixteen running sums of fused multiply-adds (dimension j goes to sum
///   j mod 16, in order; beyond the end are zeros), added in halves: k + 8, k + 4, k + 2, k + 1.
/// - int8: of the query rounded to whole numbers of -127 to 127 (scale: its largest magnitude over
///   127), exact, times that scale. A query that is not finite finds nothing.
/// - bits: dim minus twice the number of dimensions whose signs differ; 0 and below count as not
///   positive.
///
/// Every level gives the same bits. Scores that are NaN or -infinity are never found.
/// Only rows n with allowed[n] != 0 are looked at; null allows all.
/// Throws std::invalid_argument for k = 0, for dim = 0 or beyond kMostSearchDims, for rows that
/// overlap, and for 2^32 rows or more.
void top_k(const SearchQueries& queries, const SearchedRows& rows, const std::uint8_t* allowed,
           CpuLevel level, std::size_t n_threads, const SearchResults& out);

/// The same among candidates[q * n_candidates ..] of query q alone; -1 is none, and a row that
/// comes twice counts once. Throws std::out_of_range for a candidate that is no row.
void rescore(const SearchQueries& queries, const SearchedRows& rows, const std::int64_t* candidates,
             std::size_t n_candidates, CpuLevel level, std::size_t n_threads,
             const SearchResults& out);

/// Writes the sum of squares of the first dims[i] entries of row n to out[i * n_rows + n]: the dot
/// product, as above, of that prefix with itself. Rows are float32 or float16, `dims` ascends and
/// rows.dim is not asked. Throws std::invalid_argument otherwise.
void prefix_squares(const SearchedRows& rows, std::span<const std::size_t> dims, CpuLevel level,
                    std::size_t n_threads, float* out);

}  // namespace vecsmith
