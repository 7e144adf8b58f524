// Sets of bytes for SSE4.2 with POPCNT.

#include "byte_sets.hpp"

#ifdef VECSMITH_X86

#include <immintrin.h>

namespace vecsmith::kernels {

namespace {

constexpr std::size_t kAtOnce = 4;

inline std::size_t take_lowest(std::uint64_t& bits) {
  const auto bit = static_cast<std::size_t>(__builtin_ctzll(bits | std::uint64_t{1} << 63U));
  bits &= bits - 1;
  return bit;
}

#include "byte_sets.inc"

void find_sets(const unsigned char* text, std::size_t n_blocks, const ByteSets& sets,
               BlockSets* blocks) {
  // Bit h of a nibble table's entry l says whether byte 16 h + l belongs to the set.
  const __m128i bit_of_high = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m128i nibble = _mm_set1_epi8(0x0F);
  for (std::size_t b = 0; b < n_blocks; ++b) {
    BlockSets block = {};
    for (unsigned quarter = 0; quarter < 4; ++quarter) {
      const unsigned shift = 16 * quarter;
      const auto* const at = reinterpret_cast<const __m128i*>(text + 64 * b + shift);
      const __m128i bytes = _mm_loadu_si128(at);
      const __m128i low = _mm_and_si128(bytes, nibble);
      const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble);
      const __m128i bit = _mm_shuffle_epi8(bit_of_high, high);
      for (unsigned s = 0; s < ByteSets::kSets; ++s) {
        const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(sets.nibbles[s]));
        const __m128i found = _mm_and_si128(_mm_shuffle_epi8(table, low), bit);
        const __m128i none = _mm_cmpeq_epi8(found, _mm_setzero_si128());
        block.in[s] |= static_cast<std::uint64_t>(_mm_movemask_epi8(none) ^ 0xFFFF) << shift;
      }
      block.not_ascii |= static_cast<std::uint64_t>(_mm_movemask_epi8(bytes)) << shift;
    }
    blocks[b] = block;
  }
}

}  // namespace

const ByteSetKernels kSse4ByteSets{find_sets, write_offsets};

}  // namespace vecsmith::kernels

#endif
