// Kernels for AVX2 with F16C and BMI (Haswell, Zen and later).

#include "kernels.hpp"

#ifdef VECSMITH_X86

#include <immintrin.h>

namespace vecsmith::kernels {

namespace {

using Floats = float __attribute__((vector_size(32)));
using Wholes = std::int32_t __attribute__((vector_size(32)));

#include "elements.inc"

// Sixteen registers: of float32 rows all can be sums, so that 256 columns go by twice; others are
// converted or weighted in some of them, and 256 columns go by three times.
template <typename Element, bool kWeighted>
constexpr std::size_t kAccumulators = 12;
template <>
constexpr std::size_t kAccumulators<float, false> = 16;

inline Floats load(const float* row) { return Floats(_mm256_loadu_ps(row)); }

inline Floats load(const std::uint16_t* row) {
  return Floats(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row))));
}

inline Floats load(const std::int8_t* row) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row));
  return Floats(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
}

inline float load_one(const std::uint16_t* half) { return _cvtsh_ss(*half); }
inline Floats load(const Bfloat16* row) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row));
  return Floats(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16)));
}

inline Wholes load_whole(const std::int16_t* row) {
  return Wholes(_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row))));
}

inline Floats load(const std::int16_t* row) {
  return Floats(_mm256_cvtepi32_ps(__m256i(load_whole(row))));
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
  const __m256i size = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7FFFFFFF));
  const __m256i place = _mm256_sub_epi32(size, _mm256_set1_epi32(kLeast));
  const __m256i range = _mm256_set1_epi32(kRange);
  const __m256i inside = _mm256_cmpeq_epi32(_mm256_max_epu32(place, range), range);
  if (_mm256_movemask_epi8(inside) != -1) return x / by;
  const __m256 first = _mm256_mul_ps(x, inverse);
  const __m256 second = _mm256_fmadd_ps(_mm256_fnmadd_ps(first, by, x), inverse, first);
  return Floats(_mm256_fmadd_ps(_mm256_fnmadd_ps(second, by, x), inverse, second));
}

inline void store_halves(Floats x, std::uint16_t* out) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                   _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

inline unsigned positive(const float* x) {
  const __m256i turn = _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0);
  const __m256 columns = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x), turn);
  return static_cast<unsigned>(
      _mm256_movemask_ps(_mm256_cmp_ps(columns, _mm256_setzero_ps(), _CMP_GT_OQ)));
}

#include "finish.inc"
#include "plain_utf8.inc"

class Int4Decoder {
 public:
  explicit Int4Decoder(const std::int8_t* levels)
      : levels_(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels))) {}

  void decode(const std::uint8_t* codes, Floats (&out)[4]) const {
    const __m128i nibble = _mm_set1_epi8(0x0F);
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
    const __m128i low = _mm_shuffle_epi8(levels_, _mm_and_si128(bytes, nibble));
    const __m128i high = _mm_shuffle_epi8(levels_, _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble));
    out[0] = widen(low);
    out[1] = widen(_mm_srli_si128(low, 8));
    out[2] = widen(high);
    out[3] = widen(_mm_srli_si128(high, 8));
  }

 private:
  static Floats widen(__m128i bytes) {
    return Floats(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
  }

  __m128i levels_;
};

#include "sum_int4.inc"

inline WordKey load_word(const unsigned char* word, std::size_t n) {
  WordKey key;
  __builtin_memcpy(&key, word, sizeof key);
  const auto low = static_cast<unsigned>(8 * (n < 8 ? n : 8));
  return {_bzhi_u64(key.low, low), _bzhi_u64(key.high, static_cast<unsigned>(8 * n) - low)};
}

inline unsigned match(const std::uint64_t* keys, std::uint64_t key) {
  const __m256i all = _mm256_load_si256(reinterpret_cast<const __m256i*>(keys));
  const __m256i equal = _mm256_cmpeq_epi64(all, _mm256_set1_epi64x(static_cast<long long>(key)));
  return static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(equal)));
}

#include "words.inc"

struct Masks;

std::size_t write_offsets(std::uint64_t mask, std::size_t base, std::uint16_t* out) {
  // Eight at a time without asking: the slack behind `out` takes what is not wanted.
  const auto count = static_cast<std::size_t>(_mm_popcnt_u64(mask));
  for (std::size_t done = 0; done < count; done += 8) {
#pragma GCC unroll 8
    for (std::size_t k = 0; k < 8; ++k) {
      out[done + k] = static_cast<std::uint16_t>(base + _tzcnt_u64(mask));
      mask = _blsr_u64(mask);
    }
  }
  return count;
}

class Classifier {
 public:
  explicit Classifier(const ByteClasses& classes)
      : word_(broadcast(classes.word_nibbles)),
        punctuation_(broadcast(classes.punctuation_nibbles)),
        trigger_(broadcast(classes.trigger_nibbles)),
        lower_(_mm256_set1_epi8(classes.lowercase ? 0x20 : 0)) {}
  Masks classify(unsigned char* block) const;

 private:
  static __m256i broadcast(const std::uint8_t* nibbles) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(nibbles)));
  }

  __m256i word_, punctuation_, trigger_, lower_;
};

#include "scan.inc"

Masks Classifier::classify(unsigned char* block) const {
  // Bit h of a nibble table's entry l says whether byte 16 h + l belongs to the class.
  const __m256i bit_of_high = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0));
  const __m256i nibble = _mm256_set1_epi8(0x0F);
  std::uint64_t masks[3] = {0, 0, 0};
  for (unsigned half = 0; half < 2; ++half) {
    auto* const at = reinterpret_cast<__m256i*>(block + 32 * half);
    const __m256i bytes = _mm256_loadu_si256(at);
    const __m256i low = _mm256_and_si256(bytes, nibble);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
    const __m256i bit = _mm256_shuffle_epi8(bit_of_high, high);
    const auto members = [&](__m256i table) {
      const __m256i found = _mm256_and_si256(_mm256_shuffle_epi8(table, low), bit);
      const __m256i none = _mm256_cmpeq_epi8(found, _mm256_setzero_si256());
      return std::uint64_t{~static_cast<std::uint32_t>(_mm256_movemask_epi8(none))};
    };
    const std::uint64_t not_ascii = static_cast<std::uint32_t>(_mm256_movemask_epi8(bytes));
    masks[0] |= (members(word_) | not_ascii) << (32 * half);
    masks[1] |= members(punctuation_) << (32 * half);
    masks[2] |= members(trigger_) << (32 * half);
    const __m256i upper = _mm256_and_si256(_mm256_cmpgt_epi8(bytes, _mm256_set1_epi8('A' - 1)),
                                           _mm256_cmpgt_epi8(_mm256_set1_epi8('Z' + 1), bytes));
    _mm256_storeu_si256(at, _mm256_or_si256(bytes, _mm256_and_si256(upper, lower_)));
  }
  return {masks[0], masks[1], masks[2]};
}

#include "all.inc"

}  // namespace

const Kernels kAvx2Kernels = kAll;

}  // namespace vecsmith::kernels

#endif
