#include "search_queries.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace vecsmith {

namespace {

using kernels::kGroup;

constexpr double kLevels = 127.0;

}  // namespace

std::size_t row_bytes(VectorType type, std::size_t dim) {
  switch (type) {
    case VectorType::kFloat32:
      return dim * 4;
    case VectorType::kFloat16:
      return dim * 2;
    case VectorType::kInt8:
      return dim;
    case VectorType::kBits:
      break;
  }
  return (dim + 7) / 8;
}

std::size_t padded_dim(VectorType type, std::size_t dim) {
  if (type == VectorType::kInt8) return rounded_up(dim, kernels::kInt8Step);
  if (type == VectorType::kBits) return rounded_up(dim, kernels::kBitsStep);
  return rounded_up(dim, kernels::kFloatStep);
}

PreparedQueries::PreparedQueries(const SearchQueries& queries, std::size_t first, std::size_t n,
                                 VectorType type, std::size_t dim, bool grouped)
    : type_(type), n_(n), dim_(dim), padded_(padded_dim(type, dim)) {
  const std::size_t room = rounded_up(n, kGroup);
  if (type == VectorType::kInt8) {
    whole_ = AlignedArray<std::int8_t>(room * padded_);
    scales_ = AlignedArray<float>(room);
  } else if (type == VectorType::kBits) {
    words_ = AlignedArray<std::uint64_t>(room * (padded_ / kernels::kWordBits));
    scales_ = AlignedArray<float>(room);
  } else {
    floats_ = AlignedArray<float>(room * padded_);
  }
  for (std::size_t q = 0; q < n; ++q) {
    const float* const query = queries.values + (first + q) * queries.stride;
    if (type == VectorType::kInt8) {
      take_whole(query, q, grouped);
    } else if (type == VectorType::kBits) {
      take_bits(query, q, grouped);
    } else {
      take_floats(query, q);
    }
  }
}

void PreparedQueries::take_floats(const float* query, std::size_t q) {
  std::copy(query, query + dim_, floats_.data() + q * padded_);
}

void PreparedQueries::take_whole(const float* query, std::size_t q, bool grouped) {
  float most = 0.0F;
  bool finite = true;
  for (std::size_t j = 0; j < dim_; ++j) {
    finite = finite && std::isfinite(query[j]);
    most = std::max(most, std::abs(query[j]));
  }
  if (!finite) {
    scales_.data()[q] = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  if (most == 0.0F) return;
  scales_.data()[q] = static_cast<float>(double{most} / kLevels);
  const double inverse = kLevels / double{most};
  std::int8_t* const out = whole_.data() + (grouped ? q / kGroup * kGroup : q) * padded_;
  for (std::size_t j = 0; j < dim_; ++j) {
    const auto level = static_cast<std::int8_t>(std::nearbyint(double{query[j]} * inverse));
    out[grouped ? (j / 4 * kGroup + q % kGroup) * 4 + j % 4 : j] = level;
  }
}

void PreparedQueries::take_bits(const float* query, std::size_t q, bool grouped) {
  scales_.data()[q] = 1.0F;
  const std::size_t n_words = padded_ / kernels::kWordBits;
  std::uint64_t* const out = words_.data() + (grouped ? q / kGroup * kGroup : q) * n_words;
  for (std::size_t j = 0; j < dim_; ++j) {
    const std::size_t w = j / kernels::kWordBits;
    const auto bit = static_cast<std::uint64_t>(query[j] > 0.0F) << (j % kernels::kWordBits);
    out[grouped ? w * kGroup + q % kGroup : w] |= bit;
  }
}

std::size_t PreparedQueries::keep(const kernels::SearchKernels& loops, std::size_t q,
                                  const kernels::RowsAt& rows, std::size_t n,
                                  const kernels::Affine& affine, float threshold,
                                  const Room& room) const {
  switch (type_) {
    case VectorType::kFloat32:
      loops.dots_f32(floats_.data() + q * padded_, dim_, rows, n, room.dots);
      break;
    case VectorType::kFloat16:
      loops.dots_f16(floats_.data() + q * padded_, dim_, rows, n, room.dots);
      break;
    case VectorType::kInt8:
      loops.dots_i8(whole_.data() + q * padded_, dim_, rows, n, room.whole);
      break;
    case VectorType::kBits:
      loops.dots_bits(words_.data() + q * (padded_ / kernels::kWordBits), dim_, rows, n,
                      room.whole);
      break;
  }
  if (type_ == VectorType::kFloat32 || type_ == VectorType::kFloat16) {
    return loops.keep(room.dots, affine, n, threshold, room.positions, room.scores);
  }
  return loops.keep_whole(room.whole, scales_.data()[q], affine, n, threshold, room.positions,
                          room.scores);
}

std::size_t PreparedQueries::keep_group(const kernels::SearchKernels& loops, std::size_t g,
                                        const std::uint8_t* rows, std::size_t stride, std::size_t n,
                                        const kernels::Affine& affine, const float* thresholds,
                                        const Room& room) const {
  const std::size_t n_queries = std::min(kGroup, n_ - g * kGroup);
  if (type_ == VectorType::kInt8) {
    loops.group_i8(whole_.data() + g * kGroup * padded_, n_queries, padded_, rows, stride, n,
                   room.whole);
  } else if (type_ == VectorType::kBits) {
    loops.group_bits(words_.data() + g * kGroup * (padded_ / kernels::kWordBits), n_queries, dim_,
                     rows, stride, n, room.whole);
  } else {
    loops.group_f32(floats_.data() + g * kGroup * padded_, n_queries, padded_, rows, stride, n,
                    room.dots);
    return loops.keep_group(room.dots, affine, n, thresholds, room.positions, room.scores);
  }
  return loops.keep_group_whole(room.whole, scales_.data() + g * kGroup, affine, n, thresholds,
                                room.positions, room.scores);
}

}  // namespace vecsmith
