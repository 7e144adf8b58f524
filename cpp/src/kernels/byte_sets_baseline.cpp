// Sets of bytes in plain C++: the specification that the other levels are tested against.

#include "byte_sets.hpp"

namespace vecsmith::kernels {

namespace {

void find_sets(const unsigned char* text, std::size_t n_blocks, const ByteSets& sets,
               BlockSets* blocks) {
  for (std::size_t b = 0; b < n_blocks; ++b) {
    BlockSets& block = blocks[b];
    block = {};
    for (unsigned i = 0; i < 64; ++i) {
      const unsigned byte = text[64 * b + i];
      const unsigned of = byte < 0x80 ? sets.of[byte] : 0U;
      for (unsigned s = 0; s < ByteSets::kSets; ++s) {
        block.in[s] |= std::uint64_t{of >> s & 1U} << i;
      }
      block.not_ascii |= std::uint64_t{byte >> 7U} << i;
    }
  }
}

std::size_t write_offsets(const std::uint64_t* words, std::size_t n, std::uint16_t* offsets) {
  std::size_t count = 0;
  for (std::size_t w = 0; w < n; ++w) {
    for (std::uint64_t bits = words[w]; bits != 0; bits &= bits - 1) {
      const auto bit = static_cast<std::size_t>(__builtin_ctzll(bits));
      offsets[count++] = static_cast<std::uint16_t>(64 * w + bit);
    }
  }
  return count;
}

}  // namespace

const ByteSetKernels kBaselineByteSets{find_sets, write_offsets};

const ByteSetKernels& byte_sets_of(CpuLevel level) {
#ifdef VECSMITH_X86
  if (level >= CpuLevel::kAvx512) return kAvx512ByteSets;
  if (level >= CpuLevel::kAvx2) return kAvx2ByteSets;
  if (level >= CpuLevel::kSse4) return kSse4ByteSets;
#endif
#ifdef VECSMITH_NEON
  if (level == CpuLevel::kNeon) return kNeonByteSets;
#endif
  (void)level;
  return kBaselineByteSets;
}

}  // namespace vecsmith::kernels
