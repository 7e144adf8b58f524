// Sets of bytes for AVX2 with BMI.

#include "byte_sets.hpp"

#ifdef VECSMITH_X86

#include <immintrin.h>

namespace vecsmith::kernels {

namespace {

constexpr std::size_t kAtOnce = 8;

inline std::size_t take_lowest(std::uint64_t& bits) {
  const auto bit = static_cast<std::size_t>(_tzcnt_u64(bits));
  bits = _blsr_u64(bits);
  return bit;
}

#include "byte_sets.inc"

inline __m256i broadcast(const std::uint8_t* nibbles) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(nibbles)));
}

void find_sets(const unsigned char* text, std::size_t n_blocks, const ByteSets& sets,
               BlockSets* blocks) {
  // Bit h of a nibble table's entry l says whether byte 16 h + l belongs to the set.
  const __m256i bit_of_high = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0));
  const __m256i nibble = _mm256_set1_epi8(0x0F);
  __m256i tables[ByteSets::kSets];
  for (unsigned s = 0; s < ByteSets::kSets; ++s) tables[s] = broadcast(sets.nibbles[s]);
  for (std::size_t b = 0; b < n_blocks; ++b) {
    BlockSets block = {};
    for (unsigned half = 0; half < 2; ++half) {
      const unsigned shift = 32 * half;
      const auto* const at = reinterpret_cast<const __m256i*>(text + 64 * b + shift);
      const __m256i bytes = _mm256_loadu_si256(at);
      const __m256i low = _mm256_and_si256(bytes, nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
      const __m256i bit = _mm256_shuffle_epi8(bit_of_high, high);
#pragma GCC unroll 7
      for (unsigned s = 0; s < ByteSets::kSets; ++s) {
        const __m256i found = _mm256_and_si256(_mm256_shuffle_epi8(tables[s], low), bit);
        const __m256i none = _mm256_cmpeq_epi8(found, _mm256_setzero_si256());
        const auto absent = static_cast<std::uint32_t>(_mm256_movemask_epi8(none));
        block.in[s] |= std::uint64_t{~absent} << shift;
      }
      const auto not_ascii = static_cast<std::uint32_t>(_mm256_movemask_epi8(bytes));
      block.not_ascii |= std::uint64_t{not_ascii} << shift;
    }
    blocks[b] = block;
  }
}

}  // namespace

const ByteSetKernels kAvx2ByteSets{find_sets, write_offsets};

}  // namespace vecsmith::kernels

#endif
