// Portable kernels: plain C++ and the compiler's own short vectors. They are the specification that
// the other levels are tested against.

#include "kernels.hpp"

namespace vecsmith::kernels {

namespace {

using Floats = float __attribute__((vector_size(16)));
using Wholes = std::int32_t __attribute__((vector_size(16)));

#include "elements.inc"

template <typename Element, bool kWeighted>
constexpr std::size_t kAccumulators = 8;

inline Floats load(const float* row) {
  Floats x;
  __builtin_memcpy(&x, row, sizeof x);
  return x;
}

// Scaling by a power of two is exact and also makes subnormals right.
inline float load_one(const std::uint16_t* half) {
  const std::uint32_t magnitude = std::uint32_t{*half & 0x7FFFU} << 13;
  float x;
  if ((*half & 0x7C00U) == 0x7C00U) {
    const std::uint32_t bits = magnitude | 0x7F800000U;  // infinity or not a number
    __builtin_memcpy(&x, &bits, sizeof x);
  } else {
    __builtin_memcpy(&x, &magnitude, sizeof x);
    x *= 0x1p112F;
  }
  return (*half & 0x8000U) != 0 ? -x : x;
}

// Four numbers of a narrower type, each as a wider one.
template <typename Narrow, typename Wide, typename Element>
inline Wide widened(const Element* row) {
  Narrow four;
  __builtin_memcpy(&four, row, sizeof four);
  return __builtin_convertvector(four, Wide);
}

using Bits = std::uint32_t __attribute__((vector_size(16)));
using FourUnsigned = std::uint16_t __attribute__((vector_size(8)));
using FourShorts = std::int16_t __attribute__((vector_size(8)));
using FourBytes = std::int8_t __attribute__((vector_size(4)));

// As for one number, without a branch.
inline Floats load(const std::uint16_t* row) {
  const Bits halves = widened<FourUnsigned, Bits>(row);
  const Bits magnitude = (halves & 0x7FFFU) << 13U;
  const Floats scaled = Floats(magnitude) * 0x1p112F;
  const Bits exponent = Bits(magnitude > 0x0F7FFFFFU) & 0x7F800000U;
  return Floats(Bits(scaled) | exponent | (halves & 0x8000U) << 16U);
}

inline Floats load(const Bfloat16* row) { return Floats(widened<FourUnsigned, Bits>(row) << 16U); }

inline Floats load(const std::int8_t* row) { return widened<FourBytes, Floats>(row); }
inline Floats load(const std::int16_t* row) { return widened<FourShorts, Floats>(row); }
inline Wholes load_whole(const std::int16_t* row) { return widened<FourShorts, Wholes>(row); }

#include "sum.inc"

inline Floats quotient(Floats x, Floats by, Floats) { return x / by; }

std::uint16_t half_of(float x);

inline void store_halves(Floats x, std::uint16_t* out) {
  for (std::size_t k = 0; k < kLanes; ++k) out[k] = half_of(x[k]);
}

inline unsigned positive(const float* x) {
  unsigned bits = 0;
  for (unsigned k = 0; k < 8; ++k) bits |= unsigned{x[k] > 0.0F} << (7 - k);
  return bits;
}

#include "finish.inc"
#include "plain_utf8.inc"

class Int4Decoder {
 public:
  explicit Int4Decoder(const std::int8_t* levels) {
    for (std::size_t k = 0; k < kInt4Levels; ++k) levels_[k] = static_cast<float>(levels[k]);
  }

  void decode(const std::uint8_t* codes, Floats (&out)[8]) const {
    for (std::size_t k = 0; k < 4; ++k) {
      const std::uint8_t* const four = codes + 4 * k;
      out[k] = Floats{low(four[0]), low(four[1]), low(four[2]), low(four[3])};
      out[k + 4] = Floats{high(four[0]), high(four[1]), high(four[2]), high(four[3])};
    }
  }

 private:
  float low(std::uint8_t byte) const { return levels_[byte & 0x0FU]; }
  float high(std::uint8_t byte) const { return levels_[byte >> 4U]; }

  float levels_[kInt4Levels];
};

#include "plain_words.inc"
#include "sum_int4.inc"
#include "words.inc"

struct Masks;

std::size_t write_offsets(std::uint64_t mask, std::size_t base, std::uint16_t* out) {
  std::size_t n = 0;
  for (; mask != 0; mask &= mask - 1) {
    out[n++] = static_cast<std::uint16_t>(base + static_cast<std::size_t>(__builtin_ctzll(mask)));
  }
  return n;
}

class Classifier {
 public:
  explicit Classifier(const ByteClasses& classes) : classes_(classes) {}
  Masks classify(unsigned char* block) const;

 private:
  const ByteClasses& classes_;
};

#include "scan.inc"

Masks Classifier::classify(unsigned char* block) const {
  Masks masks{0, 0, 0};
  for (unsigned i = 0; i < 64; ++i) {
    const unsigned byte = block[i];
    const unsigned bits = byte < 0x80 ? classes_.of[byte] : unsigned{kWordByte};
    masks.word |= std::uint64_t{(bits & kWordByte) != 0} << i;
    masks.punctuation |= std::uint64_t{(bits & kPunctuationByte) != 0} << i;
    masks.trigger |= std::uint64_t{(bits & kTriggerByte) != 0} << i;
    if (classes_.lowercase && byte - 'A' < 26U) block[i] = static_cast<unsigned char>(byte | 0x20U);
  }
  return masks;
}

#include "all.inc"

}  // namespace

const Kernels kBaselineKernels = kAll;

const Kernels& kernels_of(CpuLevel level) {
#ifdef VECSMITH_NEON
  if (level == CpuLevel::kNeon) return kNeonKernels;
#endif
#ifdef VECSMITH_X86
  if (level >= CpuLevel::kAvx512) return kAvx512Kernels;
  if (level >= CpuLevel::kAvx2) return kAvx2Kernels;
  if (level >= CpuLevel::kSse4) return kSse4Kernels;
#endif
  (void)level;
  return kBaselineKernels;
}

}  // namespace vecsmith::kernels
