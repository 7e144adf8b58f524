#pragma once

// Where in a text the bytes of a few sets are, 64 bytes at a time. A level's file is compiled with
// flags of its own, so it must not instantiate anything of the standard library: the linker may
// keep that copy for everybody.

#include <cstddef>
#include <cstdint>

#include "vecsmith/cpu.hpp"

namespace vecsmith::kernels {

/// Sets of ASCII bytes in the shapes that the levels want them in.
struct ByteSets {
  static constexpr unsigned kSets = 7;

  std::uint8_t of[128];             ///< bit s: the byte is in set s
  std::uint8_t nibbles[kSets][16];  ///< set -> low nibble -> set of high nibbles

  void add(unsigned set, unsigned byte) {
    of[byte] = static_cast<std::uint8_t>(of[byte] | 1U << set);
    std::uint8_t& highs = nibbles[set][byte & 15U];
    highs = static_cast<std::uint8_t>(highs | 1U << (byte >> 4U));
  }
};

/// Which of 64 bytes are in each set, and which are not ASCII; bit i is byte i.
struct alignas(64) BlockSets {
  std::uint64_t in[ByteSets::kSets];
  std::uint64_t not_ascii;
};

struct ByteSetKernels {
  /// Fills `blocks` for 64 `n_blocks` bytes of `text`.
  void (*find_sets)(const unsigned char* text, std::size_t n_blocks, const ByteSets& sets,
                    BlockSets* blocks);

  /// Writes the number of each bit that is set in `n` words, at most 1,024, in order. `offsets`
  /// needs 64 entries more than there are bits. Returns their count.
  std::size_t (*write_offsets)(const std::uint64_t* words, std::size_t n, std::uint16_t* offsets);
};

extern const ByteSetKernels kBaselineByteSets;
#ifdef VECSMITH_NEON
extern const ByteSetKernels kNeonByteSets;
#endif
#ifdef VECSMITH_X86
extern const ByteSetKernels kSse4ByteSets;
extern const ByteSetKernels kAvx2ByteSets;
extern const ByteSetKernels kAvx512ByteSets;
#endif

/// Kernels of a level this machine runs.
const ByteSetKernels& byte_sets_of(CpuLevel level);

}  // namespace vecsmith::kernels
