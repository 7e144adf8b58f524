// Sets of bytes for AVX-512 with VBMI and VBMI2.

#include "byte_sets.hpp"

#ifdef VECSMITH_X86

// GCC 12 sees its own undefined-value intrinsics as uninitialised (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

namespace vecsmith::kernels {

namespace {

void find_sets(const unsigned char* text, std::size_t n_blocks, const ByteSets& sets,
               BlockSets* blocks) {
  const __m512i low = _mm512_loadu_si512(sets.of);
  const __m512i high = _mm512_loadu_si512(sets.of + 64);
  for (std::size_t b = 0; b < n_blocks; ++b) {
    const __m512i bytes = _mm512_loadu_si512(text + 64 * b);
    const __mmask64 not_ascii = _mm512_movepi8_mask(bytes);
    const __m512i of = _mm512_maskz_permutex2var_epi8(~not_ascii, low, bytes, high);
#pragma GCC unroll 7
    for (unsigned s = 0; s < ByteSets::kSets; ++s) {
      blocks[b].in[s] = _mm512_test_epi8_mask(of, _mm512_set1_epi8(static_cast<char>(1U << s)));
    }
    blocks[b].not_ascii = not_ascii;
  }
}

inline std::size_t write_half(std::uint32_t bits, std::size_t base, std::uint16_t* offsets) {
  alignas(64) static constexpr std::uint16_t kIota[32] = {
      0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
      16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
  const __m512i all = _mm512_add_epi16(_mm512_load_si512(kIota),
                                       _mm512_set1_epi16(static_cast<std::int16_t>(base)));
  // Compressed in the register and stored whole: a compressing store is many times slower.
  _mm512_storeu_si512(offsets, _mm512_maskz_compress_epi16(bits, all));
  return static_cast<std::size_t>(_mm_popcnt_u32(bits));
}

std::size_t write_offsets(const std::uint64_t* words, std::size_t n, std::uint16_t* offsets) {
  std::size_t count = 0;
  for (std::size_t w = 0; w < n; ++w) {
    count += write_half(static_cast<std::uint32_t>(words[w]), 64 * w, offsets + count);
    count += write_half(static_cast<std::uint32_t>(words[w] >> 32), 64 * w + 32, offsets + count);
  }
  return count;
}

}  // namespace

const ByteSetKernels kAvx512ByteSets{find_sets, write_offsets};

}  // namespace vecsmith::kernels

#endif
