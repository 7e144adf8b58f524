// Loops of search for AVX2 with FMA and F16C (Haswell, Zen and later).

#include "search.hpp"

#ifdef VECSMITH_X86

#include <immintrin.h>

namespace vecsmith::kernels {

namespace {

#include "search_rows.inc"

inline const __m256i* vectors(const void* at) { return static_cast<const __m256i*>(at); }

// The first n of `size` bytes; the others are zeros.
template <std::size_t kSize>
struct alignas(32) Head {
  Head(const std::uint8_t* at, std::size_t n) {
    for (std::size_t b = 0; b < n; ++b) bytes[b] = at[b];
  }
  std::uint8_t bytes[kSize] = {};
};

// Sixteen running sums.
struct Sums {
  __m256 low = _mm256_setzero_ps();
  __m256 high = _mm256_setzero_ps();
};

// Sums of the lanes of four, (k, k + 8) first, then 4, 2 and 1 apart as the specification has it.
inline __m128 sums_of_lanes(const Sums* x) {
  __m256 eight[4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) eight[i] = _mm256_add_ps(x[i].low, x[i].high);
  __m256d four[2];  // of two each
#pragma GCC unroll 2
  for (std::size_t i = 0; i < 2; ++i) {
    const __m256 left = _mm256_permute2f128_ps(eight[2 * i], eight[2 * i + 1], 0x20);
    const __m256 right = _mm256_permute2f128_ps(eight[2 * i], eight[2 * i + 1], 0x31);
    four[i] = _mm256_castps_pd(_mm256_add_ps(left, right));
  }
  const __m256 two = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(four[0], four[1])),
                                   _mm256_castpd_ps(_mm256_unpackhi_pd(four[0], four[1])));
  const __m256 one = _mm256_add_ps(two, _mm256_movehdup_ps(two));
  // lanes 0 and 2 hold the first and the third, 4 and 6 the second and the fourth
  const __m128 even = _mm256_castps256_ps128(one);
  const __m128 odd = _mm256_extractf128_ps(one, 1);
  return _mm_shuffle_ps(_mm_unpacklo_ps(even, odd), _mm_unpackhi_ps(even, odd), 0x44);
}

inline float sum_of_lanes(const Sums& x) {
  const __m256 eight = _mm256_add_ps(x.low, x.high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline std::int32_t sum_of_lanes(__m256i x) {
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

template <bool kHalf>
struct FloatRows {
  using Sum = Sums;
  using Number = float;
  static constexpr std::size_t kStep = kHalf ? 32 : 64;
  static constexpr std::size_t kStepDims = 16;
  static constexpr std::size_t kMany = 4;
  static constexpr std::size_t kManyBytes = 0;

  static __m256 load(const std::uint8_t* row, std::size_t lane) {
    if constexpr (kHalf) {
      const void* const at = row + 2 * lane;
      return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(at)));
    } else {
      const void* const at = row + 4 * lane;
      return _mm256_loadu_ps(static_cast<const float*>(at));
    }
  }

  template <bool kTail>
  void add(Sum& sum, std::size_t step, const std::uint8_t* row, std::size_t left) const {
    if constexpr (kTail) {
      const Head<kStep> head(row, left);
      add<false>(sum, step, head.bytes, kStep);
    } else {
      sum.low = _mm256_fmadd_ps(_mm256_loadu_ps(query + 16 * step), load(row, 0), sum.low);
      sum.high = _mm256_fmadd_ps(_mm256_loadu_ps(query + 16 * step + 8), load(row, 8), sum.high);
    }
  }

  template <std::size_t kCount>
  void write(const Sum* sums, std::size_t /*dim*/, float* out) const {
    if constexpr (kCount == 4) {
      _mm_storeu_ps(out, sums_of_lanes(sums));
    } else {
      out[0] = sum_of_lanes(sums[0]);
    }
  }

  const float* query;
};

// Products of signed bytes: the instruction takes one unsigned factor, so the sign of the row's
// goes to the query's. Two products are at most 2 * 128 * 127 and fit 16 bits.
inline __m256i multiply_add(__m256i row, __m256i query, __m256i sum) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(row), _mm256_sign_epi8(query, row));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

struct WholeRows {
  using Sum = __m256i;
  using Number = std::int32_t;
  static constexpr std::size_t kStep = 32;
  static constexpr std::size_t kStepDims = 32;
  static constexpr std::size_t kMany = 4;
  static constexpr std::size_t kManyBytes = 0;

  template <bool kTail>
  void add(Sum& sum, std::size_t step, const std::uint8_t* row, std::size_t left) const {
    if constexpr (kTail) {
      const Head<kStep> head(row, left);
      add<false>(sum, step, head.bytes, kStep);
    } else {
      sum = multiply_add(_mm256_loadu_si256(vectors(row)),
                         _mm256_loadu_si256(vectors(query + 32 * step)), sum);
    }
  }

  template <std::size_t kCount>
  void write(const Sum* sums, std::size_t /*dim*/, std::int32_t* out) const {
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kCount; ++r) out[r] = sum_of_lanes(sums[r]);
  }

  const std::int8_t* query;
};

// Words are counted one by one, which keeps up with the memory.
struct BitRows {
  using Sum = std::int64_t;
  using Number = std::int32_t;
  static constexpr std::size_t kStep = 8;
  static constexpr std::size_t kStepDims = 64;
  static constexpr std::size_t kMany = 4;
  static constexpr std::size_t kManyBytes = 0;

  template <bool kTail>
  void add(Sum& sum, std::size_t step, const std::uint8_t* row, std::size_t left) const {
    std::uint64_t word = 0;
    if constexpr (kTail) {
      for (std::size_t b = 0; b < left; ++b) word |= std::uint64_t{row[b]} << (8 * b);
      word &= meant;
    } else {
      __builtin_memcpy(&word, row, sizeof word);
    }
    sum += _mm_popcnt_u64(word ^ query[step]);
  }

  template <std::size_t kCount>
  void write(const Sum* sums, std::size_t dim, std::int32_t* out) const {
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kCount; ++r) {
      out[r] = static_cast<std::int32_t>(static_cast<std::int64_t>(dim) - 2 * sums[r]);
    }
  }

  const std::uint64_t* query;
  std::uint64_t meant;  // bits of the last word that count
};

void dots_f32(const float* query, std::size_t dim, const RowsAt& rows, std::size_t n, float* out) {
  dots(FloatRows<false>{query}, 4 * dim, dim, rows, n, out);
}

void dots_f16(const float* query, std::size_t dim, const RowsAt& rows, std::size_t n, float* out) {
  dots(FloatRows<true>{query}, 2 * dim, dim, rows, n, out);
}

void dots_i8(const std::int8_t* query, std::size_t dim, const RowsAt& rows, std::size_t n,
             std::int32_t* out) {
  dots(WholeRows{query}, dim, dim, rows, n, out);
}

void dots_bits(const std::uint64_t* query, std::size_t dim, const RowsAt& rows, std::size_t n,
               std::int32_t* out) {
  const std::uint64_t meant = _bzhi_u64(~0ULL, static_cast<unsigned>(dim % kWordBits));
  dots(BitRows{query, meant}, (dim + 7) / 8, dim, rows, n, out);
}

// Two queries by kRows rows.
template <std::size_t kRows>
inline void multiply_tile(const float* queries, std::size_t dim, const std::uint8_t* rows,
                          std::size_t stride, float* out) {
  Sums sums[8];  // 4 q + r; of what is not used nothing is computed
  for (std::size_t j = 0; j < dim; j += 16) {
#pragma GCC unroll 2
    for (std::size_t half = 0; half < 2; ++half) {
      const __m256 first = _mm256_loadu_ps(queries + j + 8 * half);
      const __m256 second = _mm256_loadu_ps(queries + dim + j + 8 * half);
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kRows; ++r) {
        const __m256 x = FloatRows<false>::load(rows + r * stride + 4 * j, 8 * half);
        __m256 Sums::*const side = half == 0 ? &Sums::low : &Sums::high;
        sums[r].*side = _mm256_fmadd_ps(first, x, sums[r].*side);
        sums[4 + r].*side = _mm256_fmadd_ps(second, x, sums[4 + r].*side);
      }
    }
  }
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) {
    out[r * kGroup] = sum_of_lanes(sums[r]);
    out[r * kGroup + 1] = sum_of_lanes(sums[4 + r]);
  }
}

void group_f32(const float* queries, std::size_t n_queries, std::size_t dim,
               const std::uint8_t* rows, std::size_t stride, std::size_t n, float* out) {
  for (std::size_t q = 0; q < n_queries; q += 2) {
    std::size_t i = 0;
    for (; i + 3 <= n; i += 3) {
      multiply_tile<3>(queries + q * dim, dim, rows + i * stride, stride, out + i * kGroup + q);
    }
    for (; i < n; ++i) {
      multiply_tile<1>(queries + q * dim, dim, rows + i * stride, stride, out + i * kGroup + q);
    }
  }
}

// Each lane a query, eight to a register.
template <std::size_t kRows>
inline void multiply_rows(const std::int8_t* queries, std::size_t dim, const std::uint8_t* rows,
                          std::size_t stride, std::int32_t* out) {
  __m256i sums[kRows][2];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = _mm256_setzero_si256();
  for (std::size_t j = 0; j < dim; j += 4, queries += 4 * kGroup) {
    const __m256i low = _mm256_loadu_si256(vectors(queries));
    const __m256i high = _mm256_loadu_si256(vectors(queries + 32));
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      std::int32_t four;
      __builtin_memcpy(&four, rows + r * stride + j, sizeof four);
      const __m256i row = _mm256_set1_epi32(four);
      sums[r][0] = multiply_add(row, low, sums[r][0]);
      sums[r][1] = multiply_add(row, high, sums[r][1]);
    }
  }
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (std::size_t half = 0; half < 2; ++half) {
      void* const to = out + r * kGroup + 8 * half;
      _mm256_storeu_si256(static_cast<__m256i*>(to), sums[r][half]);
    }
  }
}

void group_i8(const std::int8_t* queries, std::size_t /*n_queries*/, std::size_t dim,
              const std::uint8_t* rows, std::size_t stride, std::size_t n, std::int32_t* out) {
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    multiply_rows<4>(queries, dim, rows + i * stride, stride, out + i * kGroup);
  }
  for (; i < n; ++i) {
    multiply_rows<1>(queries, dim, rows + i * stride, stride, out + i * kGroup);
  }
}

// Set bits of each of four words, by a table of the sixteen nibbles (Mula, Kurz and Lemire, 2018).
inline __m256i count_bits(__m256i words) {
  const __m256i table =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m256i nibble = _mm256_set1_epi8(0x0F);
  const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(words, nibble));
  const __m256i high =
      _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(words, 4), nibble));
  return _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
}

void group_bits(const std::uint64_t* queries, std::size_t /*n_queries*/, std::size_t dim,
                const std::uint8_t* rows, std::size_t stride, std::size_t n, std::int32_t* out) {
  for (std::size_t i = 0; i < n; ++i, rows += stride, out += kGroup) {
    __m256i sums[4];
#pragma GCC unroll 4
    for (__m256i& sum : sums) sum = _mm256_setzero_si256();
    for (std::size_t w = 0; w * kWordBits < dim; ++w) {
      std::int64_t word;
      __builtin_memcpy(&word, rows + 8 * w, sizeof word);
      const __m256i same = _mm256_set1_epi64x(word);
#pragma GCC unroll 4
      for (std::size_t k = 0; k < 4; ++k) {
        const __m256i query = _mm256_loadu_si256(vectors(queries + w * kGroup + 4 * k));
        sums[k] = _mm256_add_epi64(sums[k], count_bits(_mm256_xor_si256(query, same)));
      }
    }
    std::int64_t differing[kGroup];
    __builtin_memcpy(differing, sums, sizeof differing);
    for (std::size_t q = 0; q < kGroup; ++q) {
      out[q] = static_cast<std::int32_t>(static_cast<std::int64_t>(dim) - 2 * differing[q]);
    }
  }
}

void widen(const std::uint8_t* halves, std::size_t n, float* out) {
  std::size_t j = 0;
  for (; j + 8 <= n; j += 8) {
    _mm256_storeu_ps(out + j, FloatRows<true>::load(halves + 2 * j, 0));
  }
  if (j == n) return;
  const Head<16> head(halves + 2 * j, 2 * (n - j));
  float rest[8];
  _mm256_storeu_ps(rest, FloatRows<true>::load(head.bytes, 0));
  for (std::size_t k = 0; j + k < n; ++k) out[j + k] = rest[k];
}

inline __m256 dots_at(const float* dots, __m256 /*scale*/) { return _mm256_loadu_ps(dots); }

inline __m256 dots_at(const std::int32_t* dots, __m256 scale) {
  return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_loadu_si256(vectors(dots))), scale);
}

// Appends the lanes that are set.
inline std::size_t append(unsigned set, std::size_t base, __m256 score, std::uint32_t* positions,
                          float* scores) {
  float lanes[8];
  _mm256_storeu_ps(lanes, score);
  std::size_t n = 0;
  for (; set != 0; set = _blsr_u32(set), ++n) {
    const std::size_t lane = _tzcnt_u32(set);
    positions[n] = static_cast<std::uint32_t>(base + lane);
    scores[n] = lanes[lane];
  }
  return n;
}

inline unsigned greater(__m256 score, __m256 least) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(score, least, _CMP_GT_OQ)));
}

inline __m256 scored(__m256 dots, const Affine& affine, std::size_t i) {
  if (affine.factors != nullptr) {
    dots = _mm256_mul_ps(dots, _mm256_loadu_ps(affine.factors + i));
  }
  return affine.offsets == nullptr ? dots
                                   : _mm256_add_ps(dots, _mm256_loadu_ps(affine.offsets + i));
}

// Fewer than eight at the end, in memory that holds eight.
template <typename Number>
struct Rest {
  Rest(const Number* from, std::size_t n) {
    for (std::size_t k = 0; from != nullptr && k < n; ++k) numbers[k] = from[k];
  }
  Number numbers[8] = {};
};

template <typename Dot>
std::size_t keep_rows(const Dot* dots, float scale, const Affine& affine, std::size_t n,
                      float threshold, std::uint32_t* positions, float* scores) {
  const __m256 least = _mm256_set1_ps(threshold);
  const __m256 scales = _mm256_set1_ps(scale);
  std::size_t kept = 0;
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256 score = scored(dots_at(dots + i, scales), affine, i);
    const unsigned set = greater(score, least);
    if (set != 0) kept += append(set, i, score, positions + kept, scores + kept);
  }
  if (i == n) return kept;
  const Rest<Dot> last(dots + i, n - i);
  const Rest<float> factors(affine.factors == nullptr ? nullptr : affine.factors + i, n - i);
  const Rest<float> offsets(affine.offsets == nullptr ? nullptr : affine.offsets + i, n - i);
  const Affine there{affine.factors == nullptr ? nullptr : factors.numbers,
                     affine.offsets == nullptr ? nullptr : offsets.numbers};
  const __m256 score = scored(dots_at(last.numbers, scales), there, 0);
  const unsigned set = _bzhi_u32(greater(score, least), static_cast<unsigned>(n - i));
  return kept + append(set, i, score, positions + kept, scores + kept);
}

std::size_t keep(const float* dots, const Affine& affine, std::size_t n, float threshold,
                 std::uint32_t* positions, float* scores) {
  return keep_rows(dots, 1.0F, affine, n, threshold, positions, scores);
}

template <typename Dot>
std::size_t keep_groups(const Dot* dots, const float* scales, const Affine& affine, std::size_t n,
                        const float* thresholds, std::uint32_t* positions, float* scores) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const __m256 factor = _mm256_set1_ps(affine.factors == nullptr ? 1.0F : affine.factors[i]);
    const __m256 offset = _mm256_set1_ps(affine.offsets == nullptr ? 0.0F : affine.offsets[i]);
    for (std::size_t q = 0; q < kGroup; q += 8) {
      const std::size_t at = i * kGroup + q;
      const __m256 dot =
          dots_at(dots + at, scales == nullptr ? _mm256_setzero_ps() : _mm256_loadu_ps(scales + q));
      const __m256 score = _mm256_add_ps(_mm256_mul_ps(dot, factor), offset);
      const unsigned set = greater(score, _mm256_loadu_ps(thresholds + q));
      if (set != 0) kept += append(set, at, score, positions + kept, scores + kept);
    }
  }
  return kept;
}

std::size_t keep_group(const float* dots, const Affine& affine, std::size_t n,
                       const float* thresholds, std::uint32_t* positions, float* scores) {
  return keep_groups(dots, nullptr, affine, n, thresholds, positions, scores);
}

}  // namespace

const SearchKernels kAvx2Search{dots_f32,   dots_f16,
                                dots_i8,    dots_bits,
                                group_f32,  group_i8,
                                group_bits, widen,
                                keep,       keep_rows<std::int32_t>,
                                keep_group, keep_groups<std::int32_t>};

}  // namespace vecsmith::kernels

#endif
