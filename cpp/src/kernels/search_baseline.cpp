// Portable loops of search: plain C++, the specification that the other levels are tested against.

#include "search.hpp"

namespace vecsmith::kernels {

namespace {

// a * b + c, rounded once.
inline float fused(float a, float b, float c) {
#ifdef __FP_FAST_FMAF
  return __builtin_fmaf(a, b, c);
#else
  // The product is exact in double, and the sum's error is found exactly (Knuth's two-sum). A sum
  // that is rounded to odd is rounded right when it is rounded again (Boldo and Melquiond, 2008).
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = static_cast<double>(c);
  const double sum = product + addend;
  const double back = sum - product;
  const double error = (product - (sum - back)) + (addend - back);
  std::int64_t bits;
  __builtin_memcpy(&bits, &sum, sizeof bits);
  const bool inexact = error > 0.0 || error < 0.0;  // an infinite sum has no error that is a number
  const std::int64_t outward = (error > 0.0) == (sum > 0.0) ? 1 : -1;
  bits += inexact && (bits & 1) == 0 ? outward : 0;
  double odd;
  __builtin_memcpy(&odd, &bits, sizeof odd);
  return static_cast<float>(odd);
#endif
}

inline float entry(const std::uint8_t* row, std::size_t j, float /*type*/) {
  float x;
  __builtin_memcpy(&x, row + j * sizeof x, sizeof x);
  return x;
}

// Scaling by a power of two is exact and also makes subnormals right.
inline float widened(std::uint16_t half) {
  const std::uint32_t magnitude = std::uint32_t{half & 0x7FFFU} << 13;
  float x;
  if ((half & 0x7C00U) == 0x7C00U) {
    const std::uint32_t bits = magnitude | 0x7F800000U;  // infinity or not a number
    __builtin_memcpy(&x, &bits, sizeof x);
  } else {
    __builtin_memcpy(&x, &magnitude, sizeof x);
    x *= 0x1p112F;
  }
  return (half & 0x8000U) != 0 ? -x : x;
}

inline float entry(const std::uint8_t* row, std::size_t j, std::uint16_t /*type*/) {
  std::uint16_t half;
  __builtin_memcpy(&half, row + j * sizeof half, sizeof half);
  return widened(half);
}

template <typename Element>
float dot(const float* query, const std::uint8_t* row, std::size_t dim) {
  float sums[kFloatStep] = {};
  for (std::size_t j = 0; j < dim; j += kFloatStep) {
    for (std::size_t k = 0; k < kFloatStep; ++k) {
      const float x = j + k < dim ? entry(row, j + k, Element{}) : 0.0F;
      sums[k] = fused(query[j + k], x, sums[k]);
    }
  }
  for (std::size_t half = kFloatStep / 2; half > 0; half /= 2) {
    for (std::size_t k = 0; k < half; ++k) sums[k] += sums[k + half];
  }
  return sums[0];
}

inline const std::uint8_t* row_of(const RowsAt& rows, std::size_t i) {
  return rows.first + (rows.places == nullptr ? i : std::size_t{rows.places[i]}) * rows.stride;
}

template <typename Element>
void dots_float(const float* query, std::size_t dim, const RowsAt& rows, std::size_t n,
                float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = dot<Element>(query, row_of(rows, i), dim);
}

inline std::int32_t signed_of(std::uint8_t byte) { return static_cast<std::int8_t>(byte); }

void dots_i8(const std::int8_t* query, std::size_t dim, const RowsAt& rows, std::size_t n,
             std::int32_t* out) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint8_t* const row = row_of(rows, i);
    std::int32_t sum = 0;
    for (std::size_t j = 0; j < dim; ++j) sum += query[j] * signed_of(row[j]);
    out[i] = sum;
  }
}

// The next `n_bits` bits of a row, at most 64.
inline std::uint64_t word_of(const std::uint8_t* bytes, std::size_t n_bits) {
  std::uint64_t word = 0;
  if (n_bits >= kWordBits) {
    __builtin_memcpy(&word, bytes, sizeof word);
    return word;
  }
  for (std::size_t b = 0; b * 8 < n_bits; ++b) word |= std::uint64_t{bytes[b]} << (8 * b);
  return word & ((std::uint64_t{1} << n_bits) - 1);
}

void dots_bits(const std::uint64_t* query, std::size_t dim, const RowsAt& rows, std::size_t n,
               std::int32_t* out) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint8_t* const row = row_of(rows, i);
    std::int32_t differing = 0;
    for (std::size_t j = 0; j < dim; j += kWordBits) {
      const std::uint64_t word = word_of(row + j / 8, dim - j);
      differing += __builtin_popcountll(word ^ query[j / kWordBits]);
    }
    out[i] = static_cast<std::int32_t>(dim) - 2 * differing;
  }
}

void group_f32(const float* queries, std::size_t n_queries, std::size_t dim,
               const std::uint8_t* rows, std::size_t stride, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t q = 0; q < n_queries; ++q) {
      out[i * kGroup + q] = dot<float>(queries + q * dim, rows + i * stride, dim);
    }
  }
}

void group_i8(const std::int8_t* queries, std::size_t /*n_queries*/, std::size_t dim,
              const std::uint8_t* rows, std::size_t stride, std::size_t n, std::int32_t* out) {
  for (std::size_t i = 0; i < n; ++i, rows += stride, out += kGroup) {
    for (std::size_t q = 0; q < kGroup; ++q) out[q] = 0;
    for (std::size_t j = 0; j < dim; j += 4) {
      for (std::size_t at = 0; at < 4 * kGroup; ++at) {
        out[at / 4] += queries[j * kGroup + at] * signed_of(rows[j + at % 4]);
      }
    }
  }
}

void group_bits(const std::uint64_t* queries, std::size_t /*n_queries*/, std::size_t dim,
                const std::uint8_t* rows, std::size_t stride, std::size_t n, std::int32_t* out) {
  for (std::size_t i = 0; i < n; ++i, rows += stride, out += kGroup) {
    for (std::size_t q = 0; q < kGroup; ++q) out[q] = static_cast<std::int32_t>(dim);
    for (std::size_t w = 0; w * kWordBits < dim; ++w) {
      const std::uint64_t word = word_of(rows + 8 * w, kWordBits);
      for (std::size_t q = 0; q < kGroup; ++q) {
        out[q] -= 2 * __builtin_popcountll(word ^ queries[w * kGroup + q]);
      }
    }
  }
}

void widen(const std::uint8_t* halves, std::size_t n, float* out) {
  for (std::size_t j = 0; j < n; ++j) out[j] = entry(halves, j, std::uint16_t{});
}

inline float score_of(float dot, const Affine& affine, std::size_t i) {
  const float scaled = affine.factors == nullptr ? dot : dot * affine.factors[i];
  return affine.offsets == nullptr ? scaled : scaled + affine.offsets[i];
}

std::size_t keep(const float* dots, const Affine& affine, std::size_t n, float threshold,
                 std::uint32_t* positions, float* scores) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const float score = score_of(dots[i], affine, i);
    positions[kept] = static_cast<std::uint32_t>(i);
    scores[kept] = score;
    kept += static_cast<std::size_t>(score > threshold);
  }
  return kept;
}

std::size_t keep_whole(const std::int32_t* dots, float scale, const Affine& affine, std::size_t n,
                       float threshold, std::uint32_t* positions, float* scores) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const float score = score_of(static_cast<float>(dots[i]) * scale, affine, i);
    positions[kept] = static_cast<std::uint32_t>(i);
    scores[kept] = score;
    kept += static_cast<std::size_t>(score > threshold);
  }
  return kept;
}

std::size_t keep_group(const float* dots, const Affine& affine, std::size_t n,
                       const float* thresholds, std::uint32_t* positions, float* scores) {
  std::size_t kept = 0;
  for (std::size_t at = 0; at < n * kGroup; ++at) {
    const float score = score_of(dots[at], affine, at / kGroup);
    positions[kept] = static_cast<std::uint32_t>(at);
    scores[kept] = score;
    kept += static_cast<std::size_t>(score > thresholds[at % kGroup]);
  }
  return kept;
}

std::size_t keep_group_whole(const std::int32_t* dots, const float* scales, const Affine& affine,
                             std::size_t n, const float* thresholds, std::uint32_t* positions,
                             float* scores) {
  std::size_t kept = 0;
  for (std::size_t at = 0; at < n * kGroup; ++at) {
    const float dot = static_cast<float>(dots[at]) * scales[at % kGroup];
    const float score = score_of(dot, affine, at / kGroup);
    positions[kept] = static_cast<std::uint32_t>(at);
    scores[kept] = score;
    kept += static_cast<std::size_t>(score > thresholds[at % kGroup]);
  }
  return kept;
}

}  // namespace

const SearchKernels kBaselineSearch{dots_float<float>,
                                    dots_float<std::uint16_t>,
                                    dots_i8,
                                    dots_bits,
                                    group_f32,
                                    group_i8,
                                    group_bits,
                                    widen,
                                    keep,
                                    keep_whole,
                                    keep_group,
                                    keep_group_whole};

const SearchKernels& search_kernels_of(CpuLevel level) {
#ifdef VECSMITH_AMX
  if (level >= CpuLevel::kAmx) return kAmxSearch;
#endif
#ifdef VECSMITH_X86
  if (level >= CpuLevel::kAvx512) return kAvx512Search;
  if (level >= CpuLevel::kAvx2) return kAvx2Search;
#endif
  (void)level;
  return kBaselineSearch;
}

}  // namespace vecsmith::kernels
