#include "vecsmith/row_adam.hpp"

#include <cmath>
#include <stdexcept>
#include <string>

#include "kernels/contrast.hpp"
#include "vecsmith/parallel.hpp"

namespace vecsmith {

namespace {

void check(std::span<const std::int64_t> ids, std::span<const std::int64_t> touched,
           std::size_t n_rows, std::int64_t step) {
  std::int64_t before = -1;
  for (const std::int64_t id : ids) {
    if (id <= before || id >= static_cast<std::int64_t>(n_rows)) {
      throw std::out_of_range("row " + std::to_string(id) + " after row " + std::to_string(before) +
                              ", expected rising rows below " + std::to_string(n_rows));
    }
    before = id;
    const std::int64_t last = touched[static_cast<std::size_t>(id)];
    if (last < 0 || last >= step) {
      throw std::out_of_range("row " + std::to_string(id) + " was touched in step " +
                              std::to_string(last) + " but this is step " + std::to_string(step));
    }
  }
}

}  // namespace

void adam_rows(const TrainedRows& rows, std::span<const std::int64_t> ids, const float* gradients,
               std::span<const std::int64_t> touched, const AdamSettings& settings, CpuLevel level,
               std::size_t n_threads) {
  if (touched.size() != rows.n_rows) {
    throw std::out_of_range(std::to_string(touched.size()) + " clocks for " +
                            std::to_string(rows.n_rows) + " rows");
  }
  check(ids, touched, rows.n_rows, settings.step);
  const kernels::ContrastKernels& loops = kernels::contrast_kernels_of(level);
  const auto step = static_cast<double>(settings.step);
  const double correction1 = 1.0 - std::pow(settings.beta1, step);
  const double correction2 = std::sqrt(1.0 - std::pow(settings.beta2, step));
  kernels::AdamStep shared{};
  shared.clip = static_cast<float>(settings.clip);
  shared.fresh1 = static_cast<float>(1.0 - settings.beta1);
  shared.fresh2 = static_cast<float>(1.0 - settings.beta2);
  shared.correction = static_cast<float>(1.0 / correction2);
  shared.eps = static_cast<float>(settings.eps);
  shared.rate = static_cast<float>(settings.rate / correction1);
  shared.keep = static_cast<float>(1.0 - settings.rate * settings.weight_decay);
  parallel_for(ids.size(), 16, n_threads, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      const auto id = static_cast<std::size_t>(ids[i]);
      const auto absent = static_cast<double>(settings.step - touched[id]);
      kernels::AdamStep own = shared;
      own.beta1 = static_cast<float>(std::pow(settings.beta1, absent));
      own.beta2 = static_cast<float>(std::pow(settings.beta2, absent));
      const std::size_t at = id * rows.dim;
      loops.adam(rows.values + at, rows.first + at, rows.second + at, gradients + i * rows.dim,
                 rows.dim, own);
    }
  });
}

}  // namespace vecsmith
