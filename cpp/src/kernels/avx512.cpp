// Kernels for AVX-512 with VBMI and VBMI2 (Ice Lake, Zen 4 and later).

#include "kernels.hpp"

#ifdef VECSMITH_X86

// GCC 12 sees its own undefined-value intrinsics as uninitialised (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

namespace vecsmith::kernels {

namespace {

using Floats = float __attribute__((vector_size(64)));
using Wholes = std::int32_t __attribute__((vector_size(64)));

#include "elements.inc"
template <typename Element, bool kWeighted>
constexpr std::size_t kAccumulators = 16;

inline Floats load(const float* row) { return Floats(_mm512_loadu_ps(row)); }

inline Floats load(const std::uint16_t* row) {
  return Floats(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row))));
}

inline Floats load(const std::int8_t* row) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row));
  return Floats(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
}

inline float load_one(const std::uint16_t* half) { return _cvtsh_ss(*half); }
inline Floats load(const Bfloat16* row) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row));
  return Floats(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)));
}

inline Wholes load_whole(const std::int16_t* row) {
  return Wholes(_mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row))));
}

inline Floats load(const std::int16_t* row) {
  return Floats(_mm512_cvtepi32_ps(__m512i(load_whole(row))));
}

#include "sum.inc"

// x / by by products, four times as fast as a division. The quotient by way of the inverse is at
// most two units of the last place off, each correction takes away what is left: after the first
// it is off by less than one, after the second it is the nearest float (Markstein, IBM J. Res. Dev.
// 34, 1990: `inverse` is itself rounded once, the remainder is exact). Numbers so small or large
// that a remainder might not be are divided.
inline Floats quotient(Floats x, Floats by, Floats inverse) {
  constexpr int kLeast = (127 - 70) << 23;  // 2^-70
  constexpr int kRange = 130 << 23;         // up to 2^60
  const __m512i size = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7FFFFFFF));
  const __m512i place = _mm512_sub_epi32(size, _mm512_set1_epi32(kLeast));
  if (_mm512_cmpgt_epu32_mask(place, _mm512_set1_epi32(kRange)) != 0) return x / by;
  const __m512 first = _mm512_mul_ps(x, inverse);
  const __m512 second = _mm512_fmadd_ps(_mm512_fnmadd_ps(first, by, x), inverse, first);
  return Floats(_mm512_fmadd_ps(_mm512_fnmadd_ps(second, by, x), inverse, second));
}

inline void store_halves(Floats x, std::uint16_t* out) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                      _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

inline unsigned positive(const float* x) {
  const __m256i turn = _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0);
  const __m256 columns = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x), turn);
  return _mm256_cmp_ps_mask(columns, _mm256_setzero_ps(), _CMP_GT_OQ);
}

#include "finish.inc"

// Sixteen levels fit one register, which a permutation reads by the low four bits of each lane.
class Int4Decoder {
 public:
  explicit Int4Decoder(const std::int8_t* levels)
      : levels_(_mm512_cvtepi32_ps(
            _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels))))) {}

  void decode(const std::uint8_t* codes, Floats (&out)[2]) const {
    const __m512i bytes =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
    out[0] = Floats(_mm512_permutexvar_ps(bytes, levels_));
    out[1] = Floats(_mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), levels_));
  }

 private:
  __m512 levels_;
};

#include "sum_int4.inc"

inline WordKey load_word(const unsigned char* word, std::size_t n) {
  const __mmask16 inside = static_cast<__mmask16>(_bzhi_u32(0xFFFF, static_cast<unsigned>(n)));
  const __m128i bytes = _mm_maskz_loadu_epi8(inside, word);
  WordKey key;
  _mm_store_si128(reinterpret_cast<__m128i*>(&key), bytes);
  return key;
}

inline unsigned match(const std::uint64_t* keys, std::uint64_t key) {
  const __m256i all = _mm256_load_si256(reinterpret_cast<const __m256i*>(keys));
  return _mm256_cmpeq_epi64_mask(all, _mm256_set1_epi64x(static_cast<long long>(key)));
}

#include "words.inc"

struct Masks;

inline std::size_t write_half(std::uint32_t mask, std::size_t base, std::uint16_t* out) {
  alignas(64) static constexpr std::uint16_t kIota[32] = {
      0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
      16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
  const __m512i offsets = _mm512_add_epi16(_mm512_load_si512(kIota),
                                           _mm512_set1_epi16(static_cast<std::int16_t>(base)));
  // Compressed in the register and stored whole: a compressing store is many times slower.
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi16(mask, offsets));
  return static_cast<std::size_t>(_mm_popcnt_u32(mask));
}

std::size_t write_offsets(std::uint64_t mask, std::size_t base, std::uint16_t* out) {
  const std::size_t n = write_half(static_cast<std::uint32_t>(mask), base, out);
  return n + write_half(static_cast<std::uint32_t>(mask >> 32), base + 32, out + n);
}

class Classifier {
 public:
  explicit Classifier(const ByteClasses& classes)
      : low_(_mm512_loadu_si512(classes.of)),
        high_(_mm512_loadu_si512(classes.of + 64)),
        lower_(_mm512_set1_epi8(classes.lowercase ? 0x20 : 0)) {}
  Masks classify(unsigned char* block) const;

 private:
  __m512i low_, high_, lower_;
};

#include "scan.inc"

Masks Classifier::classify(unsigned char* block) const {
  const __m512i bytes = _mm512_loadu_si512(block);
  const __mmask64 not_ascii = _mm512_movepi8_mask(bytes);
  const __m512i bits = _mm512_permutex2var_epi8(low_, bytes, high_);
  const __mmask64 upper =
      _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, _mm512_set1_epi8('A')), _mm512_set1_epi8(26));
  _mm512_storeu_si512(block, _mm512_or_si512(bytes, _mm512_maskz_mov_epi8(upper, lower_)));
  return {_mm512_test_epi8_mask(bits, _mm512_set1_epi8(kWordByte)) | not_ascii,
          _mm512_test_epi8_mask(bits, _mm512_set1_epi8(kPunctuationByte)) & ~not_ascii,
          _mm512_test_epi8_mask(bits, _mm512_set1_epi8(kTriggerByte)) & ~not_ascii};
}

// UTF-8 of 16 code units at a time: each in a lane of four bytes, of which those that count are
// pressed together.
inline __m512i load_units(__mmask16 inside, const std::uint8_t* units) {
  return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(inside, units));
}
inline __m512i load_units(__mmask16 inside, const std::uint16_t* units) {
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(inside, units));
}
inline __m512i load_units(__mmask16 inside, const std::uint32_t* units) {
  return _mm512_maskz_loadu_epi32(inside, units);
}

template <typename Unit>
std::size_t to_utf8(const Unit* units, std::size_t n, char* out) {
  char* const begin = out;
  const auto all = [](int x) { return _mm512_set1_epi32(x); };
  // Six bits of a code point as a byte that goes on, at place `to` of the lane.
  const auto six = [&](__m512i c, unsigned from, unsigned to) {
    const __m512i bits = _mm512_and_si512(_mm512_srli_epi32(c, from), all(0x3F));
    return _mm512_slli_epi32(_mm512_or_si512(bits, all(0x80)), to);
  };
  for (std::size_t i = 0; i < n; i += 16) {
    const std::size_t left = n - i;
    const auto inside =
        static_cast<__mmask16>(_bzhi_u32(0xFFFF, static_cast<unsigned>(left < 16 ? left : 16)));
    const __m512i c = load_units(inside, units + i);
    const __mmask16 two = _mm512_cmpge_epu32_mask(c, all(0x80));
    const __mmask16 three = _mm512_cmpge_epu32_mask(c, all(0x800));
    __m512i bytes = c;
    __m512i ends = _mm512_maskz_mov_epi32(inside, all(0x80));
    const __m512i pair =
        _mm512_or_si512(_mm512_or_si512(_mm512_srli_epi32(c, 6), all(0xC0)), six(c, 0, 8));
    bytes = _mm512_mask_mov_epi32(bytes, two, pair);
    ends = _mm512_mask_mov_epi32(ends, two, all(0x8080));
    if constexpr (sizeof(Unit) > 1) {
      const __m512i lead = _mm512_or_si512(_mm512_srli_epi32(c, 12), all(0xE0));
      const __m512i triple = _mm512_or_si512(_mm512_or_si512(lead, six(c, 6, 8)), six(c, 0, 16));
      bytes = _mm512_mask_mov_epi32(bytes, three, triple);
      ends = _mm512_mask_mov_epi32(ends, three, all(0x808080));
    }
    if constexpr (sizeof(Unit) > 2) {
      const __mmask16 four = _mm512_cmpge_epu32_mask(c, all(0x10000));
      const __m512i lead =
          _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(c, 18), all(7)), all(0xF0));
      const __m512i quad = _mm512_or_si512(_mm512_or_si512(lead, six(c, 12, 8)),
                                           _mm512_or_si512(six(c, 6, 16), six(c, 0, 24)));
      bytes = _mm512_mask_mov_epi32(bytes, four, quad);
      ends = _mm512_mask_mov_epi32(ends, four, all(static_cast<int>(0x80808080U)));
    }
    const __mmask64 kept = _mm512_movepi8_mask(ends);
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi8(kept, bytes));
    out += _mm_popcnt_u64(kept);
  }
  return static_cast<std::size_t>(out - begin);
}

#include "all.inc"

}  // namespace

const Kernels kAvx512Kernels = kAll;

}  // namespace vecsmith::kernels

#endif
