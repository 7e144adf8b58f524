#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vecsmith/cpu.hpp"
#include "vecsmith/memory_pool.hpp"

namespace vecsmith {

/// Vectors side by side: row-major float32 [n_rows, dim].
struct VectorsView {
  const float* values = nullptr;
  std::size_t n_rows = 0;
  std::size_t dim = 0;
};

/// A batch and what is asked of it: each query is to pick its own candidate out of all.
struct NestedContrast {
  VectorsView queries;
  VectorsView candidates;  ///< row i belongs to query i; rows beyond the queries are negatives

  std::span<const std::size_t> lengths;  ///< of the prefixes, ascending
  std::span<const float> weights;        ///< of each prefix
  float temperature = 0.05F;
  /// Whether each candidate i is also to pick query i; the loss is then the mean of both.
  bool both_directions = false;

  /// Equal keys are equal texts: what equals a text of a pair is no negative of it. Empty for none.
  std::span<const std::int64_t> query_keys;
  std::span<const std::int64_t> candidate_keys;

  bool bfloat16 = false;  ///< round the factors of products; sums stay float32
};

/// Sum over prefixes of weight times the cross-entropy of picking by cosine / temperature, averaged
/// over queries, and its gradients: `d_queries` and `d_candidates`, of the shapes of the vectors,
/// are overwritten.
///
/// Queries are looked at in blocks, so memory beyond the arguments is that of the candidates a few
/// times over. Results do not depend on the number of threads. Vectors of zeros have cosine 0 with
/// all and gradient 0. The loss is not a number where a vector is longer than 1e18, or holds what
/// is none. Throws std::invalid_argument where shapes or settings do not fit.
double nested_info_nce(const NestedContrast& contrast, CpuLevel level, std::size_t n_threads,
                       MemoryPool& pool, float* d_queries, float* d_candidates);

}  // namespace vecsmith
