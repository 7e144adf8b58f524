// Products of bfloat16 factors in tile registers (Sapphire Rapids and later).
//
// Four tiles hold the sums of a block of 32 x 32, two the factors of each side: 16 products for
// each byte that is loaded, so the second level cache keeps up.

#include "contrast.hpp"

#ifdef VECSMITH_AMX

// GCC 12 sees its own undefined-value intrinsics as uninitialised (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif
#include <immintrin.h>

namespace vecsmith::kernels::amx {

namespace {

struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t n_rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// In memory for good: the compiler takes the load below to read only its first bytes.
const TileConfig kConfig;

constexpr std::size_t kTile = 1024;  // bytes
constexpr std::size_t kHalf = 16;    // rows or columns of a tile of sums

inline const std::uint8_t* bytes_of(const void* pointer) {
  return static_cast<const std::uint8_t*>(pointer);
}

inline __m512i rounded(const float* x) {
  return __m512i(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
}

}  // namespace

void open_tiles() { _tile_loadconfig(&kConfig); }

void close_tiles() { _tile_release(); }

void dots(const std::uint16_t* left, std::size_t left_stride, const std::uint16_t* right,
          const std::size_t* n_steps, std::size_t n_planes, float* out, std::size_t stride,
          std::size_t plane) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const std::uint8_t* upper = bytes_of(left);
  const std::uint8_t* lower = upper + kHalf * left_stride;
  const std::uint8_t* columns = bytes_of(right);
  for (std::size_t k = 0; k < n_planes; ++k, out += plane) {
    for (std::size_t step = 0; step < n_steps[k]; ++step) {
      _tile_loadd(4, upper, left_stride);
      _tile_loadd(6, columns, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, columns + kTile, 64);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, lower, left_stride);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
      upper += 64;
      lower += 64;
      columns += 2 * kTile;
    }
    _tile_stored(0, out, stride * sizeof(float));
    _tile_stored(1, out + kHalf, stride * sizeof(float));
    _tile_stored(2, out + kHalf * stride, stride * sizeof(float));
    _tile_stored(3, out + kHalf * stride + kHalf, stride * sizeof(float));
  }
}

void add_product(const std::uint16_t* left, std::size_t left_stride, const std::uint16_t* right,
                 std::size_t right_stride, std::size_t right_second, std::size_t right_step,
                 std::size_t n_steps, float* out, std::size_t stride) {
  const std::size_t out_stride = stride * sizeof(float);
  _tile_loadd(0, out, out_stride);
  _tile_loadd(1, out + kHalf, out_stride);
  _tile_loadd(2, out + kHalf * stride, out_stride);
  _tile_loadd(3, out + kHalf * stride + kHalf, out_stride);
  const std::uint8_t* upper = bytes_of(left);
  const std::uint8_t* lower = upper + kHalf * left_stride;
  const std::uint8_t* columns = bytes_of(right);
  for (std::size_t step = 0; step < n_steps; ++step) {
    _tile_loadd(4, upper, left_stride);
    _tile_loadd(6, columns, right_stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, columns + right_second, right_stride);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, lower, left_stride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    upper += 64;
    lower += 64;
    columns += right_step;
  }
  _tile_stored(0, out, out_stride);
  _tile_stored(1, out + kHalf, out_stride);
  _tile_stored(2, out + kHalf * stride, out_stride);
  _tile_stored(3, out + kHalf * stride + kHalf, out_stride);
}

void round(const float* x, std::size_t n, std::uint16_t* out) {
  for (std::size_t j = 0; j < n; j += 32) _mm512_storeu_si512(out + j, rounded(x + j));
}

void pair_rows(const std::uint16_t* row0, const std::uint16_t* row1, std::size_t n,
               std::uint16_t* pairs) {
  alignas(64) static constexpr std::uint16_t kLow[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                                         37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                                         11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i low = _mm512_load_si512(kLow);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  for (std::size_t j = 0; j < n; j += 32) {
    const __m512i a = _mm512_loadu_si512(row0 + j);
    const __m512i b = _mm512_loadu_si512(row1 + j);
    _mm512_storeu_si512(pairs + 2 * j, _mm512_permutex2var_epi16(a, low, b));
    _mm512_storeu_si512(pairs + 2 * j + 32, _mm512_permutex2var_epi16(a, high, b));
  }
}

void round_rows(const float* row0, const float* row1, std::size_t n, std::uint16_t* out0,
                std::uint16_t* out1, std::uint16_t* pairs) {
  round(row0, n, out0);
  round(row1, n, out1);
  pair_rows(out0, out1, n, pairs);
}

void transpose(const std::uint32_t* in, std::size_t in_stride, std::uint32_t* out,
               std::size_t out_stride) {
  __m512i rows[16];
  __m512i turned[16];
#pragma GCC unroll 16
  for (std::size_t i = 0; i < 16; ++i) rows[i] = _mm512_loadu_si512(in + i * in_stride);
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 8; ++i) {
    turned[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    turned[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) {
    rows[4 * i] = _mm512_unpacklo_epi64(turned[4 * i], turned[4 * i + 2]);
    rows[4 * i + 1] = _mm512_unpackhi_epi64(turned[4 * i], turned[4 * i + 2]);
    rows[4 * i + 2] = _mm512_unpacklo_epi64(turned[4 * i + 1], turned[4 * i + 3]);
    rows[4 * i + 3] = _mm512_unpackhi_epi64(turned[4 * i + 1], turned[4 * i + 3]);
  }
  // rows[4 q + m] holds column m + 4 l of rows 4 q .. 4 q + 3 in its lane l
#pragma GCC unroll 4
  for (std::size_t m = 0; m < 4; ++m) {
    const __m512i a = _mm512_shuffle_i32x4(rows[m], rows[4 + m], 0x88);
    const __m512i b = _mm512_shuffle_i32x4(rows[m], rows[4 + m], 0xDD);
    const __m512i c = _mm512_shuffle_i32x4(rows[8 + m], rows[12 + m], 0x88);
    const __m512i d = _mm512_shuffle_i32x4(rows[8 + m], rows[12 + m], 0xDD);
    _mm512_storeu_si512(out + m * out_stride, _mm512_shuffle_i32x4(a, c, 0x88));
    _mm512_storeu_si512(out + (m + 8) * out_stride, _mm512_shuffle_i32x4(a, c, 0xDD));
    _mm512_storeu_si512(out + (m + 4) * out_stride, _mm512_shuffle_i32x4(b, d, 0x88));
    _mm512_storeu_si512(out + (m + 12) * out_stride, _mm512_shuffle_i32x4(b, d, 0xDD));
  }
}

}  // namespace vecsmith::kernels::amx

#endif
