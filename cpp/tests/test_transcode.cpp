// Code units -> UTF-8: every code point, and texts of any length and mixture, by every level.

#include <cstdint>
#include <string>
#include <vector>

#include "check.hpp"
#include "random_text.hpp"
#include "vecsmith/transcode.hpp"
#include "vecsmith/unicode.hpp"

namespace {

using namespace vecsmith;
using testing::Random;

// The Unicode standard, table 3-6, surrogates included.
void append_bytes(std::string& out, std::uint32_t c) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0U | c >> 6U);
    put(0x80U | (c & 0x3FU));
  } else if (c < 0x10000) {
    put(0xE0U | c >> 12U);
    put(0x80U | (c >> 6U & 0x3FU));
    put(0x80U | (c & 0x3FU));
  } else {
    put(0xF0U | c >> 18U);
    put(0x80U | (c >> 12U & 0x3FU));
    put(0x80U | (c >> 6U & 0x3FU));
    put(0x80U | (c & 0x3FU));
  }
}

template <typename Unit>
void check(const std::vector<std::uint32_t>& code_points) {
  // At their own end of memory, so that a read behind them is found.
  const std::vector<Unit> units(code_points.begin(), code_points.end());
  std::string expected;
  for (const std::uint32_t c : code_points) append_bytes(expected, c);
  for (const CpuLevel level : testing::cpu_levels()) {
    std::string out(utf8_room(units.size(), sizeof(Unit)), '\xFF');
    out.resize(to_utf8(std::span(units), out.data(), level));
    CHECK_EQ(out, expected);
  }
}

TEST_CASE(every_code_point_becomes_its_bytes) {
  std::vector<std::uint32_t> all;
  for (std::uint32_t c = 0; c <= kMaxCodePoint; ++c) {
    all.push_back(c);
    if (c == 0xFF) check<std::uint8_t>(all);
    if (c == 0xFFFF) check<std::uint16_t>(all);
  }
  check<std::uint32_t>(all);
}

TEST_CASE(texts_of_all_lengths_become_their_bytes) {
  Random random(41);
  for (std::size_t round = 0; round < testing::rounds(20); ++round) {
    for (std::size_t n = 0; n < 70; ++n) {
      std::vector<std::uint32_t> latin1(n);
      std::vector<std::uint32_t> ucs2(n);
      std::vector<std::uint32_t> ucs4(n);
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t top = std::vector<std::size_t>{0x80, 0x800, 0x10000}[random.below(3)];
        latin1[i] = static_cast<std::uint32_t>(random.below(random.one_in(2) ? 0x80 : 0x100));
        ucs2[i] = static_cast<std::uint32_t>(random.below(top));
        ucs4[i] = static_cast<std::uint32_t>(random.below(random.one_in(3) ? 0x110000 : top));
      }
      check<std::uint8_t>(latin1);
      check<std::uint16_t>(ucs2);
      check<std::uint32_t>(ucs4);
    }
  }
}

}  // namespace
