#include "vecsmith/pool.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "hot_rows.hpp"
#include "kernels/kernels.hpp"

namespace vecsmith {

namespace {

constexpr std::size_t kLongText = std::size_t{1} << 16;  // tokens; above, sums are gathered
static_assert(kLongText <= kernels::kMostCodes);

// Scales to unit length where float32 squares overflow or vanish.
void normalize_carefully(float* x, std::size_t n) {
  double squares = 0.0;
  for (std::size_t j = 0; j < n; ++j) squares += double{x[j]} * double{x[j]};
  if (!(squares > 0.0)) return;
  const double length = std::sqrt(squares);
  for (std::size_t j = 0; j < n; ++j) x[j] = static_cast<float>(double{x[j]} / length);
}

template <typename RowOf, typename Row>
void fill_rows(std::span<const std::uint32_t> ids, RowOf row_of, std::vector<Row>& rows) {
  rows.resize(ids.size());
  Row* const out = rows.data();
  for (std::size_t i = 0; i < ids.size(); ++i) out[i] = row_of(ids[i]);
}

}  // namespace

Pooler::Pooler(const TableView& table, CpuLevel level)
    : table_(table), kernels_(kernels::kernels_of(level)), hot_(std::make_unique<HotRows>(table)) {
  check(table_);
}

Pooler::~Pooler() = default;

void Pooler::pool(std::span<const std::uint32_t> ids, std::span<const std::size_t> ends,
                  const Pooling& pooling, Scratch& scratch, void* out) const {
  Rows rows = find_rows(ids, ends, pooling.dropped_id, scratch);
  const bool is_narrow = pooling.output != OutputType::kFloat32;
  if (is_narrow) scratch.vector.resize(pooling.dim);
  if (!is_narrow && is_worth_pieces(rows, scratch.ends)) {
    return pool_pieces(rows, scratch.ends, pooling, static_cast<float*>(out));
  }
  auto* to = static_cast<std::byte*>(out);
  std::size_t first = 0;
  for (const std::size_t last : scratch.ends) {
    const std::size_t n = last - first;
    if (is_narrow) {
      mean(rows, n, pooling, scratch.vector.data());
      write(scratch.vector.data(), pooling, to);
    } else {
      mean(rows, n, pooling, reinterpret_cast<float*>(to));
    }
    rows = rows.from(n);
    first = last;
    to += pooling.n_bytes();
  }
}

// One piece of the rows of all texts, then the next: of a piece four times as many rows fit the
// second level cache. A row of English paragraphs took 13.4 ns whole and 9.5 ns so.
bool Pooler::is_worth_pieces(const Rows& rows, std::span<const std::size_t> ends) {
  if (rows.apart == 0 || ends.size() * HotRows::kTokensWorthPieces > rows.n_readable) return false;
  std::size_t first = 0;
  for (const std::size_t last : ends) {
    if (last - first > kLongText) return false;
    first = last;
  }
  return true;
}

void Pooler::pool_pieces(Rows rows, std::span<const std::size_t> ends, const Pooling& pooling,
                         float* out) const {
  const std::size_t dim = pooling.dim;
  kernels::TextRows texts{rows.addresses, rows.weights, 0,
                          ends.data(),    ends.size(),  rows.n_readable};
  std::size_t offset = 0;
  std::size_t column = 0;
  for (; column + kernels::kPiece < dim; column += kernels::kPiece, offset += rows.apart) {
    kernels_.gather_piece_of_many(texts, offset, kernels::kPiece, dim, out + column);
  }
  // The last piece of a few texts at a time, which are finished while they are in the cache.
  for (std::size_t i = 0; i < ends.size(); i += texts.n_texts, out += texts.n_texts * dim) {
    texts.ends = ends.data() + i;
    texts.n_texts = std::min<std::size_t>(ends.size() - i, 16);
    kernels_.gather_piece_of_many(texts, offset, dim - column, dim, out + column);
    for (std::size_t k = 0; k < texts.n_texts; ++k) {
      finish(texts.ends[k] - texts.first, pooling, out + k * dim);
      texts.first = texts.ends[k];
    }
  }
}

void Pooler::mean(Rows rows, std::size_t n, const Pooling& pooling, float* out) const {
  const std::size_t dim = pooling.dim;
  sum(rows, n, dim, out);
  if (table_.type == RowType::kInt16) {
    for (std::size_t j = 0; j < dim; ++j) out[j] *= table_.column_scales[j];
  }
  finish(n, pooling, out);
}

// From the sum of n rows to what is asked for.
void Pooler::finish(std::size_t n, const Pooling& pooling, float* out) const {
  const std::size_t dim = pooling.dim;
  const auto count = static_cast<float>(std::max<std::size_t>(n, 1));
  if (!pooling.normalize) {
    if (n > 1) kernels_.divide(out, dim, count);
  } else if (!kernels_.normalize(out, dim, count)) {
    normalize_carefully(out, dim);
  }
}

void Pooler::write(const float* vector, const Pooling& pooling, void* out) const {
  const std::size_t dim = pooling.dim;
  switch (pooling.output) {
    case OutputType::kFloat32:
      std::memcpy(out, vector, dim * sizeof(float));
      return;
    case OutputType::kFloat16:
      return kernels_.round_f16(vector, dim, static_cast<std::uint16_t*>(out));
    case OutputType::kInt8:
      return kernels_.round_i8(vector, dim, static_cast<std::int8_t*>(out));
    case OutputType::kBits:
      return kernels_.round_bits(vector, dim, 0, static_cast<std::uint8_t*>(out));
    case OutputType::kSignedBits:  // less 128 is the other highest bit
      return kernels_.round_bits(vector, dim, 0x80, static_cast<std::uint8_t*>(out));
  }
}

// Rows and weights of the tokens that count; scratch.ends is where each text ends among them.
Pooler::Rows Pooler::find_rows(std::span<const std::uint32_t> ids,
                               std::span<const std::size_t> ends, std::int64_t dropped_id,
                               Scratch& scratch) const {
  scratch.ends.assign(ends.begin(), ends.end());
  const auto dropped = static_cast<std::uint32_t>(dropped_id);
  if (dropped_id != Pooling::kNone && std::ranges::find(ids, dropped) != ids.end()) {
    scratch.kept.clear();
    std::size_t i = 0;
    for (std::size_t& end : scratch.ends) {
      for (; i < end; ++i) {
        if (ids[i] != dropped) scratch.kept.push_back(ids[i]);
      }
      end = scratch.kept.size();
    }
    ids = scratch.kept;
  }
  Rows rows{nullptr, nullptr, nullptr, ids.size(), 0};
  if (table_.weights != nullptr) {
    fill_rows(
        ids, [&](std::uint32_t id) { return table_.weights[id]; }, scratch.weights);
    rows.weights = scratch.weights.data();
  }
  const auto row_of = [&](std::uint32_t id) {
    return table_.mapping == nullptr ? id : table_.mapping[id];
  };
  if (table_.type == RowType::kInt4) {
    fill_rows(ids, row_of, scratch.numbers);
    rows.numbers = scratch.numbers.data();
    return rows;
  }
  if (const void* const* const hot = hot_->addresses(); hot != nullptr) {
    fill_rows(
        ids, [=](std::uint32_t id) { return hot[id]; }, scratch.addresses);
    rows.apart = hot_->apart();
  } else {
    const auto* const table = static_cast<const std::byte*>(table_.rows);
    const std::size_t stride = table_.dim * number_bytes(table_.type);
    fill_rows(
        ids, [&](std::uint32_t id) -> const void* { return table + row_of(id) * stride; },
        scratch.addresses);
    hot_->count(ids, scratch.ends.size());
  }
  rows.addresses = scratch.addresses.data();
  return rows;
}

// Sum of n rows. float32 sums of millions of rows drift (cosine 0.98 after 27 million tokens), so
// those of a very long text are gathered in float64, in stretches that stay numpy's bit for bit.
void Pooler::sum(Rows rows, std::size_t n, std::size_t dim, float* out) const {
  if (n <= kLongText) return sum_stretch(rows, n, dim, out);
  std::vector<double> total(dim);
  for (std::size_t first = 0; first < n; first += kLongText) {
    sum_stretch(rows.from(first), std::min(kLongText, n - first), dim, out);
    for (std::size_t j = 0; j < dim; ++j) total[j] += double{out[j]};
  }
  for (std::size_t j = 0; j < dim; ++j) out[j] = static_cast<float>(total[j]);
}

void Pooler::sum_stretch(Rows rows, std::size_t n, std::size_t dim, float* out) const {
  switch (table_.type) {
    case RowType::kFloat32:
      if (rows.apart != 0) {
        return kernels_.gather_pieces(rows.addresses, rows.apart, rows.weights, n, rows.n_readable,
                                      dim, out);
      }
      return kernels_.gather_f32(rows.addresses, rows.weights, n, rows.n_readable, dim, out);
    case RowType::kFloat16:
      return kernels_.gather_f16(rows.addresses, rows.weights, n, rows.n_readable, dim, out);
    case RowType::kBfloat16:
      return kernels_.gather_bf16(rows.addresses, rows.weights, n, rows.n_readable, dim, out);
    case RowType::kInt16:
      return kernels_.gather_i16(rows.addresses, rows.weights, n, rows.n_readable, dim, out);
    case RowType::kInt8:
      return kernels_.gather_i8(rows.addresses, rows.weights, n, rows.n_readable, dim, out);
    case RowType::kInt4: {
      const kernels::Int4Rows packed{static_cast<const std::uint8_t*>(table_.rows), table_.scales,
                                     table_.levels, int4_groups(table_.dim)};
      return kernels_.sum_i4(packed, rows.numbers, rows.weights, n, rows.n_readable, dim, out);
    }
  }
}

}  // namespace vecsmith
