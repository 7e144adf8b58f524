// Kernels for SSE4.2 with POPCNT (x86-64-v2: every x86 processor since 2009).

#include "kernels.hpp"

#ifdef VECSMITH_X86

#include <immintrin.h>

namespace vecsmith::kernels {

namespace {

using Floats = float __attribute__((vector_size(16)));
using Wholes = std::int32_t __attribute__((vector_size(16)));

#include "elements.inc"

inline Floats load(const float* row) { return Floats(_mm_loadu_ps(row)); }

// Scaling by a power of two is exact and also makes subnormals right; numbers that were infinite
// or none get their exponent back.
inline __m128 float_of_half(__m128i halves) {
  const __m128i magnitude = _mm_slli_epi32(_mm_and_si128(halves, _mm_set1_epi32(0x7FFF)), 13);
  const __m128 scaled = _mm_mul_ps(_mm_castsi128_ps(magnitude), _mm_set1_ps(0x1p112F));
  const __m128i odd = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x0F7FFFFF));
  const __m128i exponent = _mm_and_si128(odd, _mm_set1_epi32(0x7F800000));
  const __m128i sign = _mm_slli_epi32(_mm_and_si128(halves, _mm_set1_epi32(0x8000)), 16);
  return _mm_or_ps(scaled, _mm_castsi128_ps(_mm_or_si128(exponent, sign)));
}

inline Floats load(const std::uint16_t* row) {
  const __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row));
  return Floats(float_of_half(_mm_cvtepu16_epi32(halves)));
}

inline Floats load(const std::int8_t* row) {
  std::int32_t four;
  __builtin_memcpy(&four, row, sizeof four);
  return Floats(_mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(four))));
}

inline float load_one(const std::uint16_t* half) {
  return _mm_cvtss_f32(float_of_half(_mm_cvtsi32_si128(*half)));
}
// Sixteen registers: of float32 rows all can be sums, others are converted in some of them.
template <typename Element, bool kWeighted>
constexpr std::size_t kAccumulators = 12;
template <>
constexpr std::size_t kAccumulators<float, false> = 16;
template <bool kWeighted>
constexpr std::size_t kAccumulators<std::uint16_t, kWeighted> = 8;

inline Floats load(const Bfloat16* row) {
  const __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row));
  return Floats(_mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(halves), 16)));
}

inline Wholes load_whole(const std::int16_t* row) {
  return Wholes(_mm_cvtepi16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row))));
}

inline Floats load(const std::int16_t* row) {
  return Floats(_mm_cvtepi32_ps(__m128i(load_whole(row))));
}

#include "sum.inc"

inline Floats quotient(Floats x, Floats by, Floats) { return x / by; }

std::uint16_t half_of(float x);

inline void store_halves(Floats x, std::uint16_t* out) {
  for (std::size_t k = 0; k < kLanes; ++k) out[k] = half_of(x[k]);
}

inline unsigned positive(const float* x) {
  const auto above = [x](std::size_t j) {  // the last column lowest
    const __m128 columns = _mm_loadu_ps(x + j);
    const __m128 turned = _mm_shuffle_ps(columns, columns, _MM_SHUFFLE(0, 1, 2, 3));
    return static_cast<unsigned>(_mm_movemask_ps(_mm_cmpgt_ps(turned, _mm_setzero_ps())));
  };
  return above(0) << 4U | above(4);
}

#include "finish.inc"
#include "plain_utf8.inc"

class Int4Decoder {
 public:
  explicit Int4Decoder(const std::int8_t* levels)
      : levels_(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels))) {}

  void decode(const std::uint8_t* codes, Floats (&out)[8]) const {
    const __m128i nibble = _mm_set1_epi8(0x0F);
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
    const __m128i low = _mm_shuffle_epi8(levels_, _mm_and_si128(bytes, nibble));
    const __m128i high = _mm_shuffle_epi8(levels_, _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble));
    widen(low, out);
    widen(high, out + 4);
  }

 private:
  static void widen(__m128i bytes, Floats* out) {
    out[0] = Floats(_mm_cvtepi32_ps(_mm_cvtepi8_epi32(bytes)));
    out[1] = Floats(_mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_srli_si128(bytes, 4))));
    out[2] = Floats(_mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_srli_si128(bytes, 8))));
    out[3] = Floats(_mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_srli_si128(bytes, 12))));
  }

  __m128i levels_;
};

#include "plain_offsets.inc"
#include "plain_words.inc"
#include "sum_int4.inc"
#include "words.inc"

struct Masks;

class Classifier {
 public:
  explicit Classifier(const ByteClasses& classes)
      : word_(load_table(classes.word_nibbles)),
        punctuation_(load_table(classes.punctuation_nibbles)),
        trigger_(load_table(classes.trigger_nibbles)),
        lower_(_mm_set1_epi8(classes.lowercase ? 0x20 : 0)) {}
  Masks classify(unsigned char* block) const;

 private:
  static __m128i load_table(const std::uint8_t* nibbles) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(nibbles));
  }

  __m128i word_, punctuation_, trigger_, lower_;
};

#include "scan.inc"

Masks Classifier::classify(unsigned char* block) const {
  // Bit h of a nibble table's entry l says whether byte 16 h + l belongs to the class.
  const __m128i bit_of_high = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m128i nibble = _mm_set1_epi8(0x0F);
  std::uint64_t masks[3] = {0, 0, 0};
  for (unsigned quarter = 0; quarter < 4; ++quarter) {
    auto* const at = reinterpret_cast<__m128i*>(block + 16 * quarter);
    const __m128i bytes = _mm_loadu_si128(at);
    const __m128i low = _mm_and_si128(bytes, nibble);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble);
    const __m128i bit = _mm_shuffle_epi8(bit_of_high, high);
    const auto members = [&](__m128i table) {
      const __m128i found = _mm_and_si128(_mm_shuffle_epi8(table, low), bit);
      const __m128i none = _mm_cmpeq_epi8(found, _mm_setzero_si128());
      return static_cast<std::uint64_t>(_mm_movemask_epi8(none) ^ 0xFFFF);
    };
    const auto not_ascii = static_cast<std::uint64_t>(_mm_movemask_epi8(bytes));
    masks[0] |= (members(word_) | not_ascii) << (16 * quarter);
    masks[1] |= members(punctuation_) << (16 * quarter);
    masks[2] |= members(trigger_) << (16 * quarter);
    const __m128i upper = _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('A' - 1)),
                                        _mm_cmpgt_epi8(_mm_set1_epi8('Z' + 1), bytes));
    _mm_storeu_si128(at, _mm_or_si128(bytes, _mm_and_si128(upper, lower_)));
  }
  return {masks[0], masks[1], masks[2]};
}

#include "all.inc"

}  // namespace

const Kernels kSse4Kernels = kAll;

}  // namespace vecsmith::kernels

#endif
