#include "vecsmith/pool.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernels.hpp"

namespace vecsmith {

namespace {

// Scales to unit length where float32 squares overflow or vanish.
void normalize_carefully(float* x, std::size_t n) {
  double squares = 0.0;
  for (std::size_t j = 0; j < n; ++j) squares += double{x[j]} * double{x[j]};
  if (!(squares > 0.0)) return;
  const double length = std::sqrt(squares);
  for (std::size_t j = 0; j < n; ++j) x[j] = static_cast<float>(double{x[j]} / length);
}

void normalize(float* x, std::size_t n) {
  const float squares = sum_of_squares(x, n);
  if (!(squares > 1e-20F && squares < 1e30F)) return normalize_carefully(x, n);
  const float scale = 1.0F / std::sqrt(squares);
  for (std::size_t j = 0; j < n; ++j) x[j] *= scale;
}

}  // namespace

Pooler::Pooler(const TableView& table, CpuLevel level)
    : table_(table), kernels_(kernels::kernels_of(level)) {
  check(table_);
}

void Pooler::pool(std::span<const std::uint32_t> ids, const Pooling& pooling, Scratch& scratch,
                  float* out) const {
  const std::uint32_t* rows = ids.data();
  const float* weights = nullptr;
  std::size_t n = ids.size();

  const bool drops = pooling.dropped_id != Pooling::kNone &&
                     std::ranges::find(ids, static_cast<std::uint32_t>(pooling.dropped_id)) != ids.end();
  if (drops || table_.mapping != nullptr || table_.weights != nullptr) {
    scratch.rows.resize(n);
    scratch.weights.resize(table_.weights != nullptr ? n : 0);
    std::size_t kept = 0;
    for (const std::uint32_t id : ids) {
      if (drops && id == static_cast<std::uint32_t>(pooling.dropped_id)) continue;
      scratch.rows[kept] = table_.mapping != nullptr ? table_.mapping[id] : id;
      if (table_.weights != nullptr) scratch.weights[kept] = table_.weights[id];
      ++kept;
    }
    rows = scratch.rows.data();
    if (table_.weights != nullptr) weights = scratch.weights.data();
    n = kept;
  }

  const std::size_t dim = pooling.dim;
  switch (table_.type) {
    case RowType::kFloat32:
      kernels_.sum_f32(static_cast<const float*>(table_.rows), table_.dim, rows, weights, n, dim, out);
      break;
    case RowType::kFloat16:
      kernels_.sum_f16(static_cast<const std::uint16_t*>(table_.rows), table_.dim, rows, weights, n,
                       dim, out);
      break;
    case RowType::kInt8:
      kernels_.sum_i8(static_cast<const std::int8_t*>(table_.rows), table_.dim, rows, weights, n, dim,
                      out);
      break;
  }
  if (pooling.normalize) {
    normalize(out, dim);
  } else if (n > 1) {
    const auto count = static_cast<float>(n);
    for (std::size_t j = 0; j < dim; ++j) out[j] /= count;
  }
}

float sum_of_squares(const float* x, std::size_t n) {
  // numpy's pairwise sum: 8 running sums over blocks of up to 128, halves above.
  if (n < 8) {
    float sum = 0.0F;
    for (std::size_t i = 0; i < n; ++i) sum += x[i] * x[i];
    return sum;
  }
  if (n > 128) {
    const std::size_t half = n / 2 - (n / 2) % 8;
    return sum_of_squares(x, half) + sum_of_squares(x + half, n - half);
  }
  float r[8];
  for (std::size_t k = 0; k < 8; ++k) r[k] = x[k] * x[k];
  std::size_t i = 8;
  for (; i + 8 <= n; i += 8) {
    for (std::size_t k = 0; k < 8; ++k) r[k] += x[i + k] * x[i + k];
  }
  float sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
  for (; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

}  // namespace vecsmith
