// Kernels for 64-bit Arm, all of which have NEON.

#include "kernels.hpp"

#ifdef VECSMITH_NEON

#include <arm_neon.h>

namespace vecsmith::kernels {

namespace {

using Floats = float __attribute__((vector_size(16)));
using Wholes = std::int32_t __attribute__((vector_size(16)));

#include "elements.inc"

inline Floats load(const float* row) { return Floats(vld1q_f32(row)); }

inline Floats load(const std::uint16_t* row) {
  return Floats(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(row))));
}

inline Floats load(const std::int8_t* row) {
  std::int32_t four;
  __builtin_memcpy(&four, row, sizeof four);
  const int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
  return Floats(vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))));
}

inline float load_one(const std::uint16_t* half) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(*half))), 0);
}
// Of 32 registers; a row of 256 columns goes by four times.
template <typename Element, bool kWeighted>
constexpr std::size_t kAccumulators = 16;

inline Floats load(const Bfloat16* row) {
  std::uint16_t halves[4];
  __builtin_memcpy(halves, row, sizeof halves);
  return Floats(vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(halves), 16)));
}

inline Wholes load_whole(const std::int16_t* row) { return Wholes(vmovl_s16(vld1_s16(row))); }

inline Floats load(const std::int16_t* row) {
  return Floats(vcvtq_f32_s32(int32x4_t(load_whole(row))));
}

#include "sum.inc"

inline Floats quotient(Floats x, Floats by, Floats) { return x / by; }

inline void store_halves(Floats x, std::uint16_t* out) {
  vst1_u16(out, vreinterpret_u16_f16(vcvt_f16_f32(float32x4_t(x))));
}

inline unsigned positive(const float* x) {
  const uint32x4_t places = {8, 4, 2, 1};
  const auto above = [places](float32x4_t columns) {
    return unsigned{vaddvq_u32(vandq_u32(vcgtzq_f32(columns), places))};
  };
  return above(vld1q_f32(x)) << 4U | above(vld1q_f32(x + 4));
}

#include "finish.inc"
#include "plain_utf8.inc"

class Int4Decoder {
 public:
  explicit Int4Decoder(const std::int8_t* levels) : levels_(vld1q_s8(levels)) {}

  void decode(const std::uint8_t* codes, Floats (&out)[8]) const {
    const uint8x16_t bytes = vld1q_u8(codes);
    widen(vqtbl1q_s8(levels_, vandq_u8(bytes, vdupq_n_u8(0x0F))), out);
    widen(vqtbl1q_s8(levels_, vshrq_n_u8(bytes, 4)), out + 4);
  }

 private:
  static void widen(int8x16_t bytes, Floats* out) {
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
    const int16x8_t high = vmovl_s8(vget_high_s8(bytes));
    out[0] = Floats(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))));
    out[1] = Floats(vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))));
    out[2] = Floats(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))));
    out[3] = Floats(vcvtq_f32_s32(vmovl_s16(vget_high_s16(high))));
  }

  int8x16_t levels_;
};

#include "plain_offsets.inc"
#include "plain_words.inc"
#include "sum_int4.inc"
#include "words.inc"

struct Masks;

class Classifier {
 public:
  explicit Classifier(const ByteClasses& classes)
      : low_(vld1q_u8_x4(classes.of)),
        high_(vld1q_u8_x4(classes.of + 64)),
        lower_(vdupq_n_u8(classes.lowercase ? 0x20 : 0)) {}
  Masks classify(unsigned char* block) const;

 private:
  uint8x16x4_t low_, high_;
  uint8x16_t lower_;
};

#include "scan.inc"

// A bit for each of 64 bytes that have a bit of `kind`: sums of neighbours gather eight bytes'
// bits.
inline std::uint64_t mask_of(const uint8x16_t (&bits)[4], std::uint8_t kind) {
  const uint8x16_t places = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201U));
  const uint8x16_t asked = vdupq_n_u8(kind);
  uint8x16_t found[4];
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) found[k] = vandq_u8(vtstq_u8(bits[k], asked), places);
  const uint8x16_t pairs = vpaddq_u8(vpaddq_u8(found[0], found[1]), vpaddq_u8(found[2], found[3]));
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(pairs, pairs)), 0);
}

Masks Classifier::classify(unsigned char* block) const {
  static_assert(kWordByte == 1, "what the sign of a byte that is not ASCII shifts to");
  uint8x16_t bits[4];
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const uint8x16_t bytes = vld1q_u8(block + 16 * k);
    // A look-up beyond its 64 entries gives zero, so of the two at most one gives a class.
    const uint8x16_t of =
        vorrq_u8(vqtbl4q_u8(low_, bytes), vqtbl4q_u8(high_, vsubq_u8(bytes, vdupq_n_u8(64))));
    bits[k] = vorrq_u8(of, vshrq_n_u8(bytes, 7));
    const uint8x16_t upper = vcltq_u8(vsubq_u8(bytes, vdupq_n_u8('A')), vdupq_n_u8(26));
    vst1q_u8(block + 16 * k, vorrq_u8(bytes, vandq_u8(upper, lower_)));
  }
  return {mask_of(bits, kWordByte), mask_of(bits, kPunctuationByte), mask_of(bits, kTriggerByte)};
}

#include "all.inc"

}  // namespace

const Kernels kNeonKernels = kAll;

}  // namespace vecsmith::kernels

#endif
