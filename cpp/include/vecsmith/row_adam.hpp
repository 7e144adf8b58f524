#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vecsmith/cpu.hpp"

namespace vecsmith {

/// Rows in training and their moments: float32 [n_rows, dim] each, changed in place.
struct TrainedRows {
  float* values = nullptr;
  float* first = nullptr;
  float* second = nullptr;
  std::size_t n_rows = 0;
  std::size_t dim = 0;
};

/// One step of AdamW (Loshchilov and Hutter, 2019).
struct AdamSettings {
  double beta1, beta2;
  double eps;
  double rate;  ///< learning rate of this step
  double weight_decay;
  double clip;        ///< factor of the gradient
  std::int64_t step;  ///< counted from 1
};

/// Moves rows ids[i] by gradients[i * dim ..]. Moments of a row last moved in step `touched[id]` (0
/// for never) first decay for the steps between. The clocks are the caller.s to set.
/// Throws std::out_of_range where ids do not rise or are not below n_rows, or a row was touched in
/// this step or later.
void adam_rows(const TrainedRows& rows, std::span<const std::int64_t> ids, const float* gradients,
               std::span<const std::int64_t> touched, const AdamSettings& settings, CpuLevel level,
               std::size_t n_threads);

}  // namespace vecsmith
