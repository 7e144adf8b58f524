#include "code_point_sets.hpp"

#include <array>
#include <bit>
#include <cstring>

#include "vecsmith/unicode.hpp"

namespace vecsmith {

namespace {

constexpr std::uint32_t kBlockBits = 6;
constexpr std::uint32_t kBlockSize = 1U << kBlockBits;
constexpr std::size_t kSetCount = 9;

struct BlockRun {
  std::uint8_t block;
  std::uint16_t count;
};

struct Block {
  std::uint64_t members[kSetCount];
};

#include "code_point_sets.inc"

constexpr std::array<std::uint8_t, (kMaxCodePoint + 1) / kBlockSize> expand_runs() {
  std::array<std::uint8_t, (kMaxCodePoint + 1) / kBlockSize> blocks{};
  std::size_t i = 0;
  for (const BlockRun& run : kBlockRuns) {
    for (std::size_t k = 0; k < run.count; ++k) blocks[i++] = run.block;
  }
  return blocks;
}

constexpr auto kBlockOf = expand_runs();

template <std::size_t kSet>
bool is_member(std::uint32_t c) {
  return ((kBlocks[kBlockOf[c >> kBlockBits]].members[kSet] >> (c & (kBlockSize - 1))) & 1U) != 0;
}

// No set: only ill-formed sequences are looked for.
constexpr std::size_t kNoSet = kSetCount;

constexpr bool has_ascii(std::size_t set) {
  return set != kNoSet && (kBlocks[0].members[set] | kBlocks[1].members[set]) != 0;
}

constexpr std::uint64_t in_each_byte(std::uint64_t byte) { return byte * 0x0101010101010101U; }

// The top bit of each byte that is not ASCII or may be a member. Only control characters are
// members in ASCII, so every control character is looked at where there are any.
template <std::size_t kSet>
std::uint64_t suspects(std::uint64_t word) {
  std::uint64_t found = word;
  if constexpr (has_ascii(kSet)) {
    const std::uint64_t low = word & in_each_byte(0x7F);
    found |= ~(low + in_each_byte(0x60)) | (low + in_each_byte(1));  // below 0x20, or 0x7F
  }
  return found & in_each_byte(0x80);
}

template <std::size_t kSet>
const char* skip_ascii(const char* p, const char* end) {
  while (end - p >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, p, sizeof word);
    const std::uint64_t found = suspects<kSet>(word);
    if (found == 0) {
      p += 8;
    } else if constexpr (std::endian::native == std::endian::little) {
      return p + std::countr_zero(found) / 8;
    } else {
      return p + std::countl_zero(found) / 8;
    }
  }
  return p;
}

constexpr std::uint32_t byte_at(const char* p) { return static_cast<unsigned char>(*p); }
constexpr bool continues(std::uint32_t byte) { return (byte & 0xC0U) == 0x80; }

// The bytes of a well-formed character at `p` that is no member, or 0. `lead` is not ASCII.
template <std::size_t kSet>
std::size_t size_unless_member(std::uint32_t lead, const char* p, const char* end) {
  std::uint32_t c = 0;
  std::size_t size = 0;
  if (lead < 0xE0) {
    if (lead < 0xC2 || end - p < 2) return 0;
    const std::uint32_t second = byte_at(p + 1);
    if (!continues(second)) return 0;
    c = (lead & 0x1FU) << 6 | (second & 0x3FU);
    size = 2;
  } else if (lead < 0xF0) {
    if (end - p < 3) return 0;
    const std::uint32_t second = byte_at(p + 1);
    const std::uint32_t third = byte_at(p + 2);
    c = (lead & 0x0FU) << 12 | (second & 0x3FU) << 6 | (third & 0x3FU);
    const bool is_character = c >= 0x800 && (c >> 11) != 0x1B;  // not overlong, no surrogate
    if (!continues(second) || !continues(third) || !is_character) return 0;
    size = 3;
  } else {
    if (end - p < 4) return 0;
    const std::uint32_t second = byte_at(p + 1);
    const std::uint32_t third = byte_at(p + 2);
    const std::uint32_t fourth = byte_at(p + 3);
    c = (lead & 0x0FU) << 18 | (second & 0x3FU) << 12 | (third & 0x3FU) << 6 | (fourth & 0x3FU);
    const bool is_character = c >= 0x10000 && c <= kMaxCodePoint;  // lead F8 and up is beyond
    if (!continues(second) || !continues(third) || !continues(fourth) || !is_character) return 0;
    size = 4;
  }
  if constexpr (kSet != kNoSet) {
    if (is_member<kSet>(c)) return 0;
  }
  return size;
}

template <std::size_t kSet>
const char* find(const char* p, const char* end) {
  while (p != end) {
    const std::uint32_t lead = byte_at(p);
    if (lead < 0x80) {
      if constexpr (has_ascii(kSet)) {
        if (is_member<kSet>(lead)) return p;
      }
      p = skip_ascii<kSet>(p + 1, end);
    } else {
      const std::size_t size = size_unless_member<kSet>(lead, p, end);
      if (size == 0) return p;
      p += size;
    }
  }
  return end;
}

}  // namespace

bool contains(CodePointSet set, char32_t c) {
  if (c > kMaxCodePoint) return false;
  const Block& block = kBlocks[kBlockOf[c >> kBlockBits]];
  return ((block.members[static_cast<std::size_t>(set)] >> (c & (kBlockSize - 1))) & 1U) != 0;
}

const char* find_member(CodePointSet set, const char* p, const char* end) {
  using Find = const char* (*)(const char*, const char*);
  static constexpr Find kFind[kSetCount] = {find<0>, find<1>, find<2>, find<3>, find<4>,
                                            find<5>, find<6>, find<7>, find<8>};
  return kFind[static_cast<std::size_t>(set)](p, end);
}

const char* find_ill_formed(const char* p, const char* end) { return find<kNoSet>(p, end); }

}  // namespace vecsmith
