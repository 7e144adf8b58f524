// Sets of bytes for 64-bit Arm.

#include "byte_sets.hpp"

#ifdef VECSMITH_NEON

#include <arm_neon.h>

namespace vecsmith::kernels {

namespace {

constexpr std::size_t kAtOnce = 4;

inline std::size_t take_lowest(std::uint64_t& bits) {
  const auto bit = static_cast<std::size_t>(__builtin_ctzll(bits | std::uint64_t{1} << 63U));
  bits &= bits - 1;
  return bit;
}

#include "byte_sets.inc"

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

void find_sets(const unsigned char* text, std::size_t n_blocks, const ByteSets& sets,
               BlockSets* blocks) {
  static_assert(ByteSets::kSets == 7, "the highest bit is free for bytes that are not ASCII");
  const uint8x16x4_t low = vld1q_u8_x4(sets.of);
  const uint8x16x4_t high = vld1q_u8_x4(sets.of + 64);
  for (std::size_t b = 0; b < n_blocks; ++b) {
    uint8x16_t bits[4];
#pragma GCC unroll 4
    for (unsigned k = 0; k < 4; ++k) {
      const uint8x16_t bytes = vld1q_u8(text + 64 * b + 16 * k);
      // A look-up beyond its 64 entries gives zero, so of the two at most one gives a set.
      const uint8x16_t of =
          vorrq_u8(vqtbl4q_u8(low, bytes), vqtbl4q_u8(high, vsubq_u8(bytes, vdupq_n_u8(64))));
      bits[k] = vorrq_u8(of, vandq_u8(bytes, vdupq_n_u8(0x80)));
    }
    for (unsigned s = 0; s < ByteSets::kSets; ++s) {
      blocks[b].in[s] = mask_of(bits, static_cast<std::uint8_t>(1U << s));
    }
    blocks[b].not_ascii = mask_of(bits, 0x80);
  }
}

}  // namespace

const ByteSetKernels kNeonByteSets{find_sets, write_offsets};

}  // namespace vecsmith::kernels

#endif
