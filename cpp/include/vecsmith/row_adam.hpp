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
  double rate;          ///< learning rate of this step
  double weight_decay;
  double clip;          ///< factor of the gradient
  std::int64_t step;    ///< counted from 1
};

/// Moves rows ids[i] by gradients[i * dim ..]. Moments of a row last moved in step `touched[id]` (0
/// for never) first decay for the steps between. The clocks are the caller.s to set.
/// Throws std::out_of_range where ids do not rise or are not below n_rows, or a row was touched in
/// this step or later.
void adam_rows(const TrainedRows& rows, std::span<const std::int64_t> ids, const float* gradients,
               std::span<const std::int64_t> touched, const AdamSettings& settings, CpuLevel level,
               std::size_t n_threads);

/// Rows in training whose moments are only read.
struct DriftingRows {
  float* values = nullptr;
  const float* first = nullptr;
  const float* second = nullptr;
  std::size_t n_rows = 0;
  std::size_t dim = 0;
};

/// What moves rows that have no gradient.
struct DriftSettings {
  double beta1, beta2;
  double eps;
  double weight_decay;
  std::span<const double> rates;  ///< learning rate of each step so far
};

/// Moves rows by what AdamW would have done to them in the steps they were absent from, so that they
/// are where they would be after step rates.size(). A row's moments are those after step
/// `touched[id]`, its values those after step `moved[id]`.
///
/// Steps between which the second moment's share hardly changes are done as one: against step by
/// step, rows differ by some 1e-5 of the way they went (1e-4 in the first steps of all). Throws std::out_of_range where ids do not rise or
/// are not below n_rows, or clocks do not fit.
void drift_rows(const DriftingRows& rows, std::span<const std::int64_t> ids,
                std::span<const std::int64_t> touched, std::span<const std::int64_t> moved,
                const DriftSettings& settings, CpuLevel level, std::size_t n_threads);

}  // namespace vecsmith
