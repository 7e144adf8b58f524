#include "vecsmith/row_adam.hpp"

#include <algorithm>
#include <cmath>
#include <compare>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/contrast.hpp"
#include "vecsmith/parallel.hpp"

namespace vecsmith {

namespace {

void check_ids(std::span<const std::int64_t> ids, std::size_t n_rows) {
  std::int64_t before = -1;
  for (const std::int64_t id : ids) {
    if (id <= before || id >= static_cast<std::int64_t>(n_rows)) {
      throw std::out_of_range("row " + std::to_string(id) + " after row " + std::to_string(before) +
                              ", expected rising rows below " + std::to_string(n_rows));
    }
    before = id;
  }
}

void check_clocks(std::size_t n_clocks, std::size_t n_rows) {
  if (n_clocks == n_rows) return;
  throw std::out_of_range(std::to_string(n_clocks) + " clocks for " + std::to_string(n_rows) +
                          " rows");
}

void check(std::span<const std::int64_t> ids, std::span<const std::int64_t> touched,
           std::size_t n_rows, std::int64_t step) {
  check_ids(ids, n_rows);
  for (const std::int64_t id : ids) {
    const std::int64_t last = touched[static_cast<std::size_t>(id)];
    if (last < 0 || last >= step) {
      throw std::out_of_range("row " + std::to_string(id) + " was touched in step " +
                              std::to_string(last) + " but this is step " + std::to_string(step));
    }
  }
}

constexpr double kGone = 1e-8;     // of a momentum; what is left of it moves nothing
constexpr double kSpread = 1e-5;  // error of taking steps as one, as a share of the way

// When a row's moments were made, and when it was moved last.
struct Clocks {
  std::int64_t touched, moved;
  auto operator<=>(const Clocks&) const = default;
};

// Sums over consecutive steps, each with weight a and scale b.
struct Stretch {
  double keep = 1.0, a = 0.0, ab = 0.0, abb = 0.0;

  // A step takes its share also off what the steps before it moved.
  void add(double weight, double scale, double left) {
    keep *= left;
    a = a * left + weight;
    ab = ab * left + weight * scale;
    abb = abb * left + weight * scale * scale;
  }
  // Variance of the scale as a share of its square: the second-order error of using its mean.
  double spread() const { return a > 0.0 ? std::max(abb * a / (ab * ab) - 1.0, 0.0) : 0.0; }
  kernels::DriftPart part() const {
    const double scale = a > 0.0 ? ab / a : 1.0;
    return {static_cast<float>(keep), static_cast<float>(a), static_cast<float>(scale)};
  }
};

// The steps between `clocks.moved` and now, in as few parts as will do.
void append_parts(const Clocks& clocks, const DriftSettings& settings,
                  std::vector<kernels::DriftPart>& parts) {
  const auto after = static_cast<double>(clocks.moved + 1 - clocks.touched);
  const auto first = static_cast<double>(clocks.moved + 1);
  const double root2 = std::sqrt(settings.beta2);
  double faded1 = std::pow(settings.beta1, after);
  double faded2 = std::pow(root2, after);
  double power1 = std::pow(settings.beta1, first);
  double power2 = std::pow(settings.beta2, first);
  double way = 0.0;
  Stretch stretch;
  for (auto j = static_cast<std::size_t>(clocks.moved); j < settings.rates.size(); ++j) {
    if (faded1 < kGone && settings.weight_decay == 0.0) break;
    const double weight = settings.rates[j] * faded1 / (1.0 - power1);
    const double scale = faded2 / std::sqrt(1.0 - power2);
    way += weight;
    const double left = 1.0 - settings.rates[j] * settings.weight_decay;
    Stretch longer = stretch;
    longer.add(weight, scale, left);
    if (longer.spread() * longer.a > kSpread * way) {
      parts.push_back(stretch.part());
      longer = Stretch();
      longer.add(weight, scale, left);
    }
    stretch = longer;
    faded1 *= settings.beta1;
    faded2 *= root2;
    power1 *= settings.beta1;
    power2 *= settings.beta2;
  }
  if (stretch.a > 0.0 || stretch.keep < 1.0) parts.push_back(stretch.part());
}

}  // namespace

void drift_rows(const DriftingRows& rows, std::span<const std::int64_t> ids,
                std::span<const std::int64_t> touched, std::span<const std::int64_t> moved,
                const DriftSettings& settings, CpuLevel level, std::size_t n_threads) {
  check_clocks(touched.size(), rows.n_rows);
  check_clocks(moved.size(), rows.n_rows);
  check_ids(ids, rows.n_rows);
  const auto clocks_of = [&](std::int64_t id) {
    const auto row = static_cast<std::size_t>(id);
    return Clocks{touched[row], moved[row]};
  };
  std::vector<Clocks> kinds;
  for (const std::int64_t id : ids) {
    const Clocks clocks = clocks_of(id);
    if (clocks.touched < 0 || clocks.touched > clocks.moved ||
        clocks.moved > static_cast<std::int64_t>(settings.rates.size())) {
      throw std::out_of_range("row " + std::to_string(id) + " was touched in step " +
                              std::to_string(clocks.touched) + " and moved in step " +
                              std::to_string(clocks.moved) + " of " +
                              std::to_string(settings.rates.size()));
    }
    kinds.push_back(clocks);
  }
  std::ranges::sort(kinds);
  kinds.erase(std::ranges::unique(kinds).begin(), kinds.end());
  std::vector<kernels::DriftPart> parts;
  std::vector<std::size_t> ends{0};
  for (const Clocks& clocks : kinds) {
    append_parts(clocks, settings, parts);
    ends.push_back(parts.size());
  }
  const kernels::ContrastKernels& loops = kernels::contrast_kernels_of(level);
  const auto eps = static_cast<float>(settings.eps);
  parallel_for(ids.size(), 16, n_threads, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      const auto kind = static_cast<std::size_t>(
          std::ranges::lower_bound(kinds, clocks_of(ids[i])) - kinds.begin());
      const std::size_t at = static_cast<std::size_t>(ids[i]) * rows.dim;
      const std::size_t n_parts = ends[kind + 1] - ends[kind];
      if (n_parts == 0) continue;
      loops.drift(rows.values + at, rows.first + at, rows.second + at, rows.dim,
                  parts.data() + ends[kind], n_parts, eps);
    }
  });
}

void adam_rows(const TrainedRows& rows, std::span<const std::int64_t> ids, const float* gradients,
               std::span<const std::int64_t> touched, const AdamSettings& settings, CpuLevel level,
               std::size_t n_threads) {
  check_clocks(touched.size(), rows.n_rows);
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
