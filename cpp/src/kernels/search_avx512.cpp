// Loops of search for AVX-512 with VNNI and VPOPCNTDQ (Ice Lake, Zen 4 and later).

#include "search.hpp"

#ifdef VECSMITH_X86

// GCC 12 sees its own undefined-value intrinsics as uninitialised (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

namespace vecsmith::kernels {

namespace {

#include "search_rows.inc"

inline __mmask64 first(std::size_t n) { return _bzhi_u64(~0ULL, static_cast<unsigned>(n)); }

// Sums of the lanes of 16 registers, (k, k + 8) first, then 4, 2 and 1 apart as the specification
// has it. Lane 4 l + m gets that of register l + 4 m.
inline __m512 sums_of_lanes(const __m512* x) {
  __m512 a[8];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 8; ++i) {
    a[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0x44),
                         _mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0xEE));
  }
  __m512 b[4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) {
    b[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0x88),
                         _mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0xDD));
  }
  __m512 c[2];
#pragma GCC unroll 2
  for (std::size_t i = 0; i < 2; ++i) {
    const __m512d left = _mm512_castps_pd(b[2 * i]);
    const __m512d right = _mm512_castps_pd(b[2 * i + 1]);
    c[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(left, right)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(left, right)));
  }
  return _mm512_add_ps(_mm512_shuffle_ps(c[0], c[1], 0x88), _mm512_shuffle_ps(c[0], c[1], 0xDD));
}

inline __m512i sums_of_lanes(const __m512i* x) {
  __m512i a[8];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 8; ++i) {
    a[i] = _mm512_add_epi32(_mm512_shuffle_i32x4(x[2 * i], x[2 * i + 1], 0x44),
                            _mm512_shuffle_i32x4(x[2 * i], x[2 * i + 1], 0xEE));
  }
  __m512i b[4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) {
    b[i] = _mm512_add_epi32(_mm512_shuffle_i32x4(a[2 * i], a[2 * i + 1], 0x88),
                            _mm512_shuffle_i32x4(a[2 * i], a[2 * i + 1], 0xDD));
  }
  __m512i c[2];
#pragma GCC unroll 2
  for (std::size_t i = 0; i < 2; ++i) {
    c[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(b[2 * i], b[2 * i + 1]),
                            _mm512_unpackhi_epi64(b[2 * i], b[2 * i + 1]));
  }
  const __m512 left = _mm512_castsi512_ps(c[0]);
  const __m512 right = _mm512_castsi512_ps(c[1]);
  return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(left, right, 0x88)),
                          _mm512_castps_si512(_mm512_shuffle_ps(left, right, 0xDD)));
}

// Lane 4 l + m to lane l + 4 m.
inline __m512i in_order() {
  return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}

inline float sum_of_lanes(__m512 x) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// Rows of float32 and, with kHalf, of float16.
template <bool kHalf>
struct FloatRows {
  using Sum = __m512;
  using Number = float;
  static constexpr std::size_t kStep = kHalf ? 32 : 64;
  static constexpr std::size_t kStepDims = 16;
  static constexpr std::size_t kMany = 16;
  static constexpr std::size_t kManyBytes = 512;

  template <bool kTail>
  static __m512 load(const std::uint8_t* row, std::size_t left) {
    if constexpr (kHalf) {
      const __m256i halves =
          kTail ? _mm256_maskz_loadu_epi16(static_cast<__mmask16>(first(left / 2)), row)
                : _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row));
      return _mm512_cvtph_ps(halves);
    } else {
      return kTail ? _mm512_maskz_loadu_ps(static_cast<__mmask16>(first(left / 4)), row)
                   : _mm512_loadu_ps(row);
    }
  }

  template <bool kTail>
  void add(Sum& sum, std::size_t step, const std::uint8_t* row, std::size_t left) const {
    sum = _mm512_fmadd_ps(_mm512_loadu_ps(query + 16 * step), load<kTail>(row, left), sum);
  }

  template <std::size_t kCount>
  void write(const Sum* sums, std::size_t /*dim*/, float* out) const {
    if constexpr (kCount == 16) {
      _mm512_storeu_ps(out, _mm512_permutexvar_ps(in_order(), sums_of_lanes(sums)));
    } else {
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kCount; ++r) out[r] = sum_of_lanes(sums[r]);
    }
  }

  const float* query;
};

// Rows of int8. The instruction takes one unsigned factor: rows go in with 128 added, which comes
// off again as 128 times the query's sum.
struct WholeRows {
  using Sum = __m512i;
  using Number = std::int32_t;
  static constexpr std::size_t kStep = 64;
  static constexpr std::size_t kStepDims = 64;
  static constexpr std::size_t kMany = 16;
  static constexpr std::size_t kManyBytes = 512;

  WholeRows(const std::int8_t* given, std::size_t dim) : query(given) {
    __m512i sum = _mm512_setzero_si512();
    for (std::size_t j = 0; j < dim; j += 64) {
      sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), _mm512_loadu_si512(query + j));
    }
    surplus = 128 * _mm512_reduce_add_epi32(sum);
  }

  template <bool kTail>
  void add(Sum& sum, std::size_t step, const std::uint8_t* row, std::size_t left) const {
    const __m512i x = kTail ? _mm512_maskz_loadu_epi8(first(left), row) : _mm512_loadu_si512(row);
    const __m512i raised = _mm512_xor_si512(x, _mm512_set1_epi8(-128));
    sum = _mm512_dpbusd_epi32(sum, raised, _mm512_loadu_si512(query + 64 * step));
  }

  template <std::size_t kCount>
  void write(const Sum* sums, std::size_t /*dim*/, std::int32_t* out) const {
    if constexpr (kCount == 16) {
      const __m512i dots = _mm512_permutexvar_epi32(in_order(), sums_of_lanes(sums));
      _mm512_storeu_si512(out, _mm512_sub_epi32(dots, _mm512_set1_epi32(surplus)));
    } else {
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kCount; ++r) {
        out[r] = _mm512_reduce_add_epi32(sums[r]) - surplus;
      }
    }
  }

  const std::int8_t* query;
  std::int32_t surplus;
};

// Rows of bits: sums are of differing ones. Bits beyond the last dimension are masked off.
struct BitRows {
  using Sum = __m512i;
  using Number = std::int32_t;
  static constexpr std::size_t kStep = 64;
  static constexpr std::size_t kStepDims = 512;
  static constexpr std::size_t kMany = 8;
  static constexpr std::size_t kManyBytes = 512;

  BitRows(const std::uint64_t* given, std::size_t dim) : query(given) {
    const std::size_t spare = (8 - dim % 8) % 8;
    const __mmask64 last = spare == 0 ? 0 : __mmask64{1} << ((dim / 8) % 64);
    meant = _mm512_mask_set1_epi8(_mm512_set1_epi8(-1), last, static_cast<char>(0xFF >> spare));
  }

  template <bool kTail>
  void add(Sum& sum, std::size_t step, const std::uint8_t* row, std::size_t left) const {
    __m512i x = kTail ? _mm512_maskz_loadu_epi8(first(left), row) : _mm512_loadu_si512(row);
    if constexpr (kTail) x = _mm512_and_si512(x, meant);
    const __m512i differing = _mm512_xor_si512(x, _mm512_loadu_si512(query + 8 * step));
    sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(differing));
  }

  template <std::size_t kCount>
  void write(const Sum* sums, std::size_t dim, std::int32_t* out) const {
    const auto whole = static_cast<std::int32_t>(dim);
    if constexpr (kCount == 8) {
      const __m256i differing = _mm512_cvtepi64_epi32(totals(sums));
      _mm256_storeu_si256(
          reinterpret_cast<__m256i*>(out),
          _mm256_sub_epi32(_mm256_set1_epi32(whole), _mm256_slli_epi32(differing, 1)));
    } else {
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kCount; ++r) {
        out[r] = whole - 2 * static_cast<std::int32_t>(_mm512_reduce_add_epi64(sums[r]));
      }
    }
  }

  // Sums of the lanes of 8 registers, in order.
  static __m512i totals(const __m512i* x) {
    __m512i a[4];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      a[i] = _mm512_add_epi64(_mm512_unpacklo_epi64(x[2 * i], x[2 * i + 1]),
                              _mm512_unpackhi_epi64(x[2 * i], x[2 * i + 1]));
    }
    __m512i b[2];
#pragma GCC unroll 2
    for (std::size_t i = 0; i < 2; ++i) {
      b[i] = _mm512_add_epi64(_mm512_shuffle_i64x2(a[2 * i], a[2 * i + 1], 0x88),
                              _mm512_shuffle_i64x2(a[2 * i], a[2 * i + 1], 0xDD));
    }
    return _mm512_add_epi64(_mm512_shuffle_i64x2(b[0], b[1], 0x88),
                            _mm512_shuffle_i64x2(b[0], b[1], 0xDD));
  }

  const std::uint64_t* query;
  __m512i meant;  // bits of the last step's row that count
};

void dots_f32(const float* query, std::size_t dim, const RowsAt& rows, std::size_t n, float* out) {
  dots(FloatRows<false>{query}, 4 * dim, dim, rows, n, out);
}

void dots_f16(const float* query, std::size_t dim, const RowsAt& rows, std::size_t n, float* out) {
  dots(FloatRows<true>{query}, 2 * dim, dim, rows, n, out);
}

void dots_i8(const std::int8_t* query, std::size_t dim, const RowsAt& rows, std::size_t n,
             std::int32_t* out) {
  dots(WholeRows(query, dim), dim, dim, rows, n, out);
}

void dots_bits(const std::uint64_t* query, std::size_t dim, const RowsAt& rows, std::size_t n,
               std::int32_t* out) {
  dots(BitRows(query, dim), (dim + 7) / 8, dim, rows, n, out);
}

// Four queries by kRows rows: each number that is loaded serves four products.
template <std::size_t kRows>
inline void multiply_tile(const float* queries, std::size_t dim, const std::uint8_t* rows,
                          std::size_t stride, float* out) {
  __m512 sums[16];
#pragma GCC unroll 16
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  for (std::size_t j = 0; j < dim; j += 16) {
    __m512 x[kRows];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) x[r] = _mm512_loadu_ps(rows + r * stride + 4 * j);
#pragma GCC unroll 4
    for (std::size_t q = 0; q < 4; ++q) {
      const __m512 query = _mm512_loadu_ps(queries + q * dim + j);
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kRows; ++r) {
        sums[4 * q + r] = _mm512_fmadd_ps(query, x[r], sums[4 * q + r]);
      }
    }
  }
  const __m512 dots = sums_of_lanes(sums);  // lane 4 r + q: query q of row r
  _mm_storeu_ps(out, _mm512_castps512_ps128(dots));
  if constexpr (kRows == 4) {
    _mm_storeu_ps(out + kGroup, _mm512_extractf32x4_ps(dots, 1));
    _mm_storeu_ps(out + 2 * kGroup, _mm512_extractf32x4_ps(dots, 2));
    _mm_storeu_ps(out + 3 * kGroup, _mm512_extractf32x4_ps(dots, 3));
  }
}

void group_f32(const float* queries, std::size_t n_queries, std::size_t dim,
               const std::uint8_t* rows, std::size_t stride, std::size_t n, float* out) {
  for (std::size_t q = 0; q < n_queries; q += 4) {
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
      multiply_tile<4>(queries + q * dim, dim, rows + i * stride, stride, out + i * kGroup + q);
    }
    for (; i < n; ++i) {
      multiply_tile<1>(queries + q * dim, dim, rows + i * stride, stride, out + i * kGroup + q);
    }
  }
}

// Each lane a query. Here the queries go in with 128 added, so that four entries of a row can come
// straight from memory; off comes 128 times the row's sum.
template <std::size_t kRows>
inline void multiply_rows(const std::int8_t* queries, std::size_t dim, const std::uint8_t* rows,
                          std::size_t stride, std::int32_t* out) {
  __m512i sums[kRows];
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) {
    __m512i total = _mm512_setzero_si512();
    for (std::size_t j = 0; j < dim; j += 64) {
      total = _mm512_dpbusd_epi32(total, _mm512_set1_epi8(1),
                                  _mm512_loadu_si512(rows + r * stride + j));
    }
    sums[r] = _mm512_set1_epi32(-128 * _mm512_reduce_add_epi32(total));
  }
  for (std::size_t j = 0; j < dim; j += 4, queries += 4 * kGroup) {
    const __m512i raised = _mm512_xor_si512(_mm512_loadu_si512(queries), _mm512_set1_epi8(-128));
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kRows; ++r) {
      std::int32_t four;
      __builtin_memcpy(&four, rows + r * stride + j, sizeof four);
      sums[r] = _mm512_dpbusd_epi32(sums[r], raised, _mm512_set1_epi32(four));
    }
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) _mm512_storeu_si512(out + r * kGroup, sums[r]);
}

void group_i8(const std::int8_t* queries, std::size_t /*n_queries*/, std::size_t dim,
              const std::uint8_t* rows, std::size_t stride, std::size_t n, std::int32_t* out) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    multiply_rows<8>(queries, dim, rows + i * stride, stride, out + i * kGroup);
  }
  for (; i < n; ++i) {
    multiply_rows<1>(queries, dim, rows + i * stride, stride, out + i * kGroup);
  }
}

#ifdef VECSMITH_AMX
void group_i8_in_tiles(const std::int8_t* queries, std::size_t n_queries, std::size_t dim,
                       const std::uint8_t* rows, std::size_t stride, std::size_t n,
                       std::int32_t* out) {
  const std::size_t done = amx::group_i8(queries, dim, rows, stride, n, out);
  group_i8(queries, n_queries, dim, rows + done * stride, stride, n - done, out + done * kGroup);
}
#endif

template <std::size_t kRows>
inline void compare_rows(const std::uint64_t* queries, std::size_t dim, const std::uint8_t* rows,
                         std::size_t stride, std::int32_t* out) {
  __m512i sums[kRows][2];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_si512();
  for (std::size_t j = 0; j < dim; j += kWordBits, queries += kGroup) {
    const __m512i low = _mm512_loadu_si512(queries);
    const __m512i high = _mm512_loadu_si512(queries + 8);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      std::int64_t word;
      __builtin_memcpy(&word, rows + r * stride + j / 8, sizeof word);
      const __m512i same = _mm512_set1_epi64(word);
      sums[r][0] = _mm512_add_epi64(sums[r][0], _mm512_popcnt_epi64(_mm512_xor_si512(low, same)));
      sums[r][1] = _mm512_add_epi64(sums[r][1], _mm512_popcnt_epi64(_mm512_xor_si512(high, same)));
    }
  }
  const __m256i whole = _mm256_set1_epi32(static_cast<std::int32_t>(dim));
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (std::size_t half = 0; half < 2; ++half) {
      const __m256i differing = _mm512_cvtepi64_epi32(sums[r][half]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + r * kGroup + 8 * half),
                          _mm256_sub_epi32(whole, _mm256_slli_epi32(differing, 1)));
    }
  }
}

void group_bits(const std::uint64_t* queries, std::size_t /*n_queries*/, std::size_t dim,
                const std::uint8_t* rows, std::size_t stride, std::size_t n, std::int32_t* out) {
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    compare_rows<4>(queries, dim, rows + i * stride, stride, out + i * kGroup);
  }
  for (; i < n; ++i) {
    compare_rows<1>(queries, dim, rows + i * stride, stride, out + i * kGroup);
  }
}

void widen(const std::uint8_t* halves, std::size_t n, float* out) {
  std::size_t j = 0;
  for (; j + 16 <= n; j += 16) {
    _mm512_storeu_ps(out + j, FloatRows<true>::load<false>(halves + 2 * j, 32));
  }
  if (j == n) return;
  const __m512 rest = FloatRows<true>::load<true>(halves + 2 * j, 2 * (n - j));
  _mm512_mask_storeu_ps(out + j, static_cast<__mmask16>(first(n - j)), rest);
}

inline __m512i counting() {
  return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

// Appends the lanes that are set: compressed in the register and stored whole, since a compressing
// store is many times slower.
inline std::size_t append(__mmask16 set, std::size_t base, __m512 score, std::uint32_t* positions,
                          float* scores) {
  const __m512i at =
      _mm512_add_epi32(counting(), _mm512_set1_epi32(static_cast<std::int32_t>(base)));
  _mm512_storeu_si512(positions, _mm512_maskz_compress_epi32(set, at));
  _mm512_storeu_ps(scores, _mm512_maskz_compress_ps(set, score));
  return static_cast<std::size_t>(_mm_popcnt_u32(set));
}

inline __m512 dots_at(const float* dots, __m512 /*scale*/, __mmask16 set) {
  return _mm512_maskz_loadu_ps(set, dots);
}

inline __m512 dots_at(const std::int32_t* dots, __m512 scale, __mmask16 set) {
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(set, dots)), scale);
}

template <typename Dot>
std::size_t keep_rows(const Dot* dots, float scale, const Affine& affine, std::size_t n,
                      float threshold, std::uint32_t* positions, float* scores) {
  const __m512 least = _mm512_set1_ps(threshold);
  const __m512 scales = _mm512_set1_ps(scale);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < n; i += 16) {
    const auto meant = static_cast<__mmask16>(n - i >= 16 ? 0xFFFFU : (1U << (n - i)) - 1U);
    __m512 score = dots_at(dots + i, scales, meant);
    if (affine.factors != nullptr) {
      score = _mm512_mul_ps(score, _mm512_maskz_loadu_ps(meant, affine.factors + i));
    }
    if (affine.offsets != nullptr) {
      score = _mm512_add_ps(score, _mm512_maskz_loadu_ps(meant, affine.offsets + i));
    }
    const __mmask16 set = _mm512_mask_cmp_ps_mask(meant, score, least, _CMP_GT_OQ);
    if (set != 0) kept += append(set, i, score, positions + kept, scores + kept);
  }
  return kept;
}

std::size_t keep(const float* dots, const Affine& affine, std::size_t n, float threshold,
                 std::uint32_t* positions, float* scores) {
  return keep_rows(dots, 1.0F, affine, n, threshold, positions, scores);
}

// Scores of a group with the i-th row.
template <typename Dot>
inline __m512 group_scores(const Dot* dots, __m512 scales, const Affine& affine, std::size_t i) {
  __m512 score = dots_at(dots + i * kGroup, scales, 0xFFFF);
  if (affine.factors != nullptr) score = _mm512_mul_ps(score, _mm512_set1_ps(affine.factors[i]));
  if (affine.offsets != nullptr) score = _mm512_add_ps(score, _mm512_set1_ps(affine.offsets[i]));
  return score;
}

template <typename Dot>
std::size_t keep_groups(const Dot* dots, __m512 scales, const Affine& affine, std::size_t n,
                        const float* thresholds, std::uint32_t* positions, float* scores) {
  constexpr std::size_t kRows = 4;  // asked about together: next to none is kept
  const __m512 least = _mm512_loadu_ps(thresholds);
  std::size_t kept = 0;
  std::size_t i = 0;
  for (; i + kRows <= n; i += kRows) {
    __m512 score[kRows];
    __mmask16 set[kRows];
    unsigned any = 0;
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      score[r] = group_scores(dots, scales, affine, i + r);
      set[r] = _mm512_cmp_ps_mask(score[r], least, _CMP_GT_OQ);
      any |= set[r];
    }
    if (any == 0) continue;
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      kept += append(set[r], (i + r) * kGroup, score[r], positions + kept, scores + kept);
    }
  }
  for (; i < n; ++i) {
    const __m512 score = group_scores(dots, scales, affine, i);
    const __mmask16 set = _mm512_cmp_ps_mask(score, least, _CMP_GT_OQ);
    kept += append(set, i * kGroup, score, positions + kept, scores + kept);
  }
  return kept;
}

std::size_t keep_group(const float* dots, const Affine& affine, std::size_t n,
                       const float* thresholds, std::uint32_t* positions, float* scores) {
  return keep_groups(dots, _mm512_set1_ps(1.0F), affine, n, thresholds, positions, scores);
}

std::size_t keep_group_whole(const std::int32_t* dots, const float* scales, const Affine& affine,
                             std::size_t n, const float* thresholds, std::uint32_t* positions,
                             float* scores) {
  return keep_groups(dots, _mm512_loadu_ps(scales), affine, n, thresholds, positions, scores);
}

}  // namespace

const SearchKernels kAvx512Search{
    dots_f32,   dots_f16,        dots_i8, dots_bits, group_f32,
    group_i8,   group_bits,      widen,   keep,      keep_rows<std::int32_t>,
    keep_group, keep_group_whole};
#ifdef VECSMITH_AMX
const SearchKernels kAmxSearch{
    dots_f32,          dots_f16,        dots_i8, dots_bits, group_f32,
    group_i8_in_tiles, group_bits,      widen,   keep,      keep_rows<std::int32_t>,
    keep_group,        keep_group_whole};
#endif

}  // namespace vecsmith::kernels

#endif
