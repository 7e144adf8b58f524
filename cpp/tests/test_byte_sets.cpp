// Sets of bytes of every level against a walk byte by byte.

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"
#include "kernels/byte_sets.hpp"
#include "random_text.hpp"

namespace {

using namespace vecsmith;
using kernels::BlockSets;
using kernels::ByteSets;
using testing::GuardedBytes;
using testing::Random;

ByteSets random_sets(Random& random) {
  ByteSets sets{};
  for (unsigned set = 0; set < ByteSets::kSets; ++set) {
    for (unsigned byte = 0; byte < 128; ++byte) {
      if (random.one_in(4)) sets.add(set, byte);
    }
  }
  return sets;
}

TEST_CASE(every_level_finds_the_bytes_of_each_set) {
  for (const CpuLevel level : testing::cpu_levels()) {
    const kernels::ByteSetKernels& kernels = kernels::byte_sets_of(level);
    Random random(1);
    for (std::size_t round = 0; round < testing::rounds(500); ++round) {
      const ByteSets sets = random_sets(random);
      const std::size_t n_blocks = 1 + random.below(5);
      GuardedBytes text(64 * n_blocks);  // not a byte more may be read
      for (std::size_t i = 0; i < 64 * n_blocks; ++i) {
        text.data()[i] = static_cast<unsigned char>(random.below(random.one_in(3) ? 256 : 128));
      }
      std::vector<BlockSets> blocks(n_blocks);
      kernels.find_sets(text.data(), n_blocks, sets, blocks.data());
      for (std::size_t i = 0; i < 64 * n_blocks; ++i) {
        const unsigned byte = text.data()[i];
        const BlockSets& block = blocks[i / 64];
        CHECK_EQ(block.not_ascii >> (i % 64) & 1U, byte >= 128 ? 1U : 0U);
        for (unsigned set = 0; set < ByteSets::kSets; ++set) {
          const unsigned expected = byte < 128 ? sets.of[byte] >> set & 1U : 0U;
          CHECK_EQ(block.in[set] >> (i % 64) & 1U, expected);
        }
      }
    }
  }
}

TEST_CASE(every_level_writes_the_offsets_of_bits_in_order) {
  for (const CpuLevel level : testing::cpu_levels()) {
    const kernels::ByteSetKernels& kernels = kernels::byte_sets_of(level);
    Random random(2);
    for (std::size_t round = 0; round < testing::rounds(1000); ++round) {
      std::vector<std::uint64_t> words(random.below(20));
      const std::size_t sparse = random.below(4);
      std::vector<std::uint16_t> expected;
      for (std::size_t w = 0; w < words.size(); ++w) {
        words[w] = random.one_in(5) ? ~std::uint64_t{0} : random.bits();
        for (std::size_t i = 0; i < sparse; ++i) words[w] &= random.bits();
        for (std::size_t bit = 0; bit < 64; ++bit) {
          if ((words[w] >> bit & 1U) != 0) {
            expected.push_back(static_cast<std::uint16_t>(64 * w + bit));
          }
        }
      }
      GuardedBytes offsets(2 * (expected.size() + 64));
      auto* const found = reinterpret_cast<std::uint16_t*>(offsets.data());
      const std::size_t n = kernels.write_offsets(words.data(), words.size(), found);
      CHECK_EQ(n, expected.size());
      CHECK(std::vector<std::uint16_t>(found, found + n) == expected);
    }
  }
}

TEST_CASE(offsets_reach_the_last_bit_of_1024_words) {
  std::vector<std::uint64_t> words(1024);
  words.back() = std::uint64_t{1} << 63U;
  for (const CpuLevel level : testing::cpu_levels()) {
    std::uint16_t offsets[65] = {};
    CHECK_EQ(kernels::byte_sets_of(level).write_offsets(words.data(), words.size(), offsets), 1U);
    CHECK_EQ(offsets[0], 65535U);
  }
}

}  // namespace
