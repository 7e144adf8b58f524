#include "vecsmith/pool.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/kernels.hpp"

namespace vecsmith {

namespace {

constexpr std::size_t kLongText = std::size_t{1} << 16;  // tokens; above, sums are gathered

// Scales to unit length where float32 squares overflow or vanish.
void normalize_carefully(float* x, std::size_t n) {
  double squares = 0.0;
  for (std::size_t j = 0; j < n; ++j) squares += double{x[j]} * double{x[j]};
  if (!(squares > 0.0)) return;
  const double length = std::sqrt(squares);
  for (std::size_t j = 0; j < n; ++j) x[j] = static_cast<float>(double{x[j]} / length);
}

}  // namespace

Pooler::Pooler(const TableView& table, CpuLevel level)
    : table_(table), kernels_(kernels::kernels_of(level)) {
  check(table_);
}

void Pooler::pool(std::span<const std::uint32_t> ids, std::span<const std::size_t> ends,
                  const Pooling& pooling, Scratch& scratch, float* out) const {
  const bool drops =
      pooling.dropped_id != Pooling::kNone &&
      std::ranges::find(ids, static_cast<std::uint32_t>(pooling.dropped_id)) != ids.end();
  const float* weights = nullptr;
  if (drops || table_.mapping != nullptr || table_.weights != nullptr) {
    pick_rows(ids, ends, drops ? pooling.dropped_id : Pooling::kNone, scratch);
    ids = scratch.rows;
    ends = scratch.ends;
    if (table_.weights != nullptr) weights = scratch.weights.data();
  }
  const std::size_t dim = pooling.dim;
  std::size_t first = 0;
  for (const std::size_t last : ends) {
    const std::size_t n = last - first;
    sum(ids.data() + first, weights == nullptr ? nullptr : weights + first, n, ids.size() - first,
        dim, out);
    if (pooling.normalize) {
      if (!kernels_.normalize(out, dim)) normalize_carefully(out, dim);
    } else if (n > 1) {
      const auto count = static_cast<float>(n);
      for (std::size_t j = 0; j < dim; ++j) out[j] /= count;
    }
    first = last;
    out += dim;
  }
}

// Rows and weights of the tokens that count, and where each text ends among them.
void Pooler::pick_rows(std::span<const std::uint32_t> ids, std::span<const std::size_t> ends,
                       std::int64_t dropped_id, Scratch& scratch) const {
  const bool weighted = table_.weights != nullptr;
  scratch.rows.resize(ids.size());
  scratch.weights.resize(weighted ? ids.size() : 0);
  scratch.ends.clear();
  std::size_t kept = 0;
  std::size_t i = 0;
  for (const std::size_t end : ends) {
    for (; i < end; ++i) {
      const std::uint32_t id = ids[i];
      scratch.rows[kept] = table_.mapping != nullptr ? table_.mapping[id] : id;
      if (weighted) scratch.weights[kept] = table_.weights[id];
      kept += static_cast<std::size_t>(std::int64_t{id} != dropped_id);
    }
    scratch.ends.push_back(kept);
  }
  scratch.rows.resize(kept);
}

// Sum of n rows. float32 sums of millions of rows drift (cosine 0.98 after 27 million tokens), so
// those of a very long text are gathered in float64, in stretches that stay numpy's bit for bit.
void Pooler::sum(const std::uint32_t* rows, const float* weights, std::size_t n,
                 std::size_t n_readable, std::size_t dim, float* out) const {
  if (n <= kLongText) return sum_stretch(rows, weights, n, n_readable, dim, out);
  std::vector<double> total(dim);
  for (std::size_t first = 0; first < n; first += kLongText) {
    const std::size_t count = std::min(kLongText, n - first);
    sum_stretch(rows + first, weights == nullptr ? nullptr : weights + first, count,
                n_readable - first, dim, out);
    for (std::size_t j = 0; j < dim; ++j) total[j] += double{out[j]};
  }
  for (std::size_t j = 0; j < dim; ++j) out[j] = static_cast<float>(total[j]);
}

void Pooler::sum_stretch(const std::uint32_t* rows, const float* weights, std::size_t n,
                         std::size_t n_readable, std::size_t dim, float* out) const {
  const std::size_t stride = table_.dim;
  switch (table_.type) {
    case RowType::kFloat32:
      return kernels_.sum_f32(static_cast<const float*>(table_.rows), stride, rows, weights, n,
                              n_readable, dim, out);
    case RowType::kFloat16:
      return kernels_.sum_f16(static_cast<const std::uint16_t*>(table_.rows), stride, rows, weights,
                              n, n_readable, dim, out);
    case RowType::kInt8:
      return kernels_.sum_i8(static_cast<const std::int8_t*>(table_.rows), stride, rows, weights, n,
                             n_readable, dim, out);
    case RowType::kInt4: {
      const kernels::Int4Rows packed{static_cast<const std::uint8_t*>(table_.rows), table_.scales,
                                     table_.levels, int4_groups(table_.dim)};
      return kernels_.sum_i4(packed, rows, weights, n, n_readable, dim, out);
    }
  }
}

}  // namespace vecsmith
