// What follows the sum of a text's rows, at every level: division and unit length against the
// processor's own division, narrower outputs against their definitions.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "check.hpp"
#include "kernels/kernels.hpp"
#include "random_text.hpp"
#include "vecsmith/pool.hpp"

namespace {

using namespace vecsmith;
using kernels::kernels_of;
using testing::Random;

const std::vector<std::size_t> kSizes = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 255, 256, 257};

float random_float(Random& random) {
  const auto exponent = static_cast<int>(random.below(40)) - 20;
  return std::ldexp(random.uniform(), exponent);
}

std::vector<float> random_floats(Random& random, std::size_t n) {
  std::vector<float> x(n);
  for (float& value : x) value = random_float(random);
  return x;
}

bool same_bits(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (a != a && b != b);
}

void check_division(const std::vector<float>& x, float by) {
  for (const CpuLevel level : cpu_levels()) {
    std::vector<float> divided = x;
    kernels_of(level).divide(divided.data(), divided.size(), by);
    for (std::size_t j = 0; j < x.size(); ++j) {
      const volatile float expected = x[j] / by;
      if (!same_bits(divided[j], expected)) CHECK_EQ(divided[j], float{expected});
    }
  }
}

TEST_CASE(every_level_divides_as_the_processor_does) {
  Random random(1);
  for (std::size_t round = 0; round < testing::rounds(2000); ++round) {
    const std::vector<float> x = random_floats(random, random.pick(kSizes));
    check_division(x, static_cast<float>(1 + random.below(70000)));
    check_division(x, std::abs(random_float(random)) + 1e-9F);
  }
}

// Products that were rounded lie nearest to where a quotient is hard to round.
TEST_CASE(quotients_that_are_nearly_between_two_floats_are_rounded_right) {
  Random random(2);
  for (std::size_t round = 0; round < testing::rounds(3000); ++round) {
    const float by = 1.0F + std::abs(random.uniform());
    std::vector<float> x(64);
    for (float& value : x) {
      const double between = 1.0 + std::abs(double{random.uniform()}) + 0x1p-24;
      value = static_cast<float>(between * double{by});
      if (random.one_in(2)) value = std::nextafter(value, 0.0F);
    }
    check_division(x, by);
  }
}

TEST_CASE(numbers_of_every_size_are_divided_right) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> odd = {0.0F,    -0.0F,  1e-45F,     -1e-40F,   1e-38F,
                                  1e-30F,  1e-22F, 1e-21F,     1e-20F,    1e30F,
                                  1.3e30F, 3e38F,  -kInfinity, kInfinity, NAN};
  Random random(3);
  for (std::size_t round = 0; round < testing::rounds(500); ++round) {
    std::vector<float> x = random_floats(random, 48);
    for (std::size_t k = 0; k < 4; ++k) x[random.below(x.size())] = random.pick(odd);
    for (const float by : {1.0F, 3.0F, 16777216.0F, 1e-10F, 1e15F}) check_division(x, by);
  }
}

std::vector<std::uint16_t> halves_of(const std::vector<float>& x, CpuLevel level) {
  std::vector<std::uint16_t> halves(x.size());
  kernels_of(level).round_f16(x.data(), x.size(), halves.data());
  return halves;
}

TEST_CASE(a_half_is_the_nearest_one_and_the_even_one_between_two) {
  std::vector<float> x;
  std::vector<std::uint16_t> expected;
  const auto value_of = [](unsigned half) {
    const int exponent = static_cast<int>(half >> 10U);
    const auto fraction = static_cast<float>(half & 1023U);
    return exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  };
  for (unsigned half = 0; half < 0x7C00; ++half) {
    const float low = value_of(half);
    const float middle = (low + value_of(half + 1)) / 2;  // as if 65,536 were the next one
    const unsigned even = half + (half & 1U);
    for (const unsigned sign : {0U, 0x8000U}) {
      const float one = sign == 0 ? 1.0F : -1.0F;
      const auto expect = [&](float size, unsigned of) {
        x.push_back(one * size);
        expected.push_back(static_cast<std::uint16_t>(of | sign));
      };
      expect(low, half);
      expect(std::nextafter(middle, 0.0F), half);
      expect(middle, even);
      expect(std::nextafter(middle, 1e9F), half + 1);
    }
  }
  for (const float huge : {65536.0F, 1e6F, 3e38F, std::numeric_limits<float>::infinity()}) {
    x.push_back(huge);
    expected.push_back(0x7C00);
  }
  for (const CpuLevel level : cpu_levels()) {
    CHECK(halves_of(x, level) == expected);
    const std::uint16_t none = halves_of({NAN}, level)[0];
    CHECK((none & 0x7C00U) == 0x7C00U && (none & 0x3FFU) != 0);
    const std::uint16_t none_of_many = halves_of(std::vector<float>(16, NAN), level)[3];
    CHECK_EQ(none_of_many, none);
  }
}

TEST_CASE(eight_bit_entries_are_127_ths_of_the_largest_one) {
  Random random(5);
  for (std::size_t round = 0; round < testing::rounds(300); ++round) {
    std::vector<float> x = random_floats(random, random.pick(kSizes));
    if (random.one_in(9)) std::ranges::fill(x, 0.0F);
    if (random.one_in(9)) std::ranges::for_each(x, [](float& value) { value *= 1e-42F; });
    double largest = 0;
    for (const float value : x) largest = std::max(largest, std::abs(double{value}));
    for (const CpuLevel level : cpu_levels()) {
      std::vector<std::int8_t> rounded(x.size(), 77);
      kernels_of(level).round_i8(x.data(), x.size(), rounded.data());
      for (std::size_t j = 0; j < x.size(); ++j) {
        const double scaled = largest > 0 ? double{x[j]} * (127.0 / largest) : 0.0;
        CHECK_EQ(static_cast<int>(rounded[j]), static_cast<int>(std::nearbyint(scaled)));
      }
    }
  }
}

TEST_CASE(entries_between_two_steps_go_to_the_even_one) {
  const std::vector<float> x = {127.0F, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -126.5F, 125.5F};
  const std::vector<std::int8_t> expected = {127, 0, 2, 2, 0, -2, -126, 126};
  for (const CpuLevel level : cpu_levels()) {
    std::vector<std::int8_t> rounded(x.size());
    kernels_of(level).round_i8(x.data(), x.size(), rounded.data());
    CHECK(rounded == expected);
  }
}

TEST_CASE(a_vector_that_is_not_finite_has_eight_bit_zeros) {
  for (const float odd : {std::numeric_limits<float>::infinity(), NAN}) {
    const std::vector<float> x = {1.0F, odd, -2.0F};
    for (const CpuLevel level : cpu_levels()) {
      std::vector<std::int8_t> rounded(x.size(), 77);
      kernels_of(level).round_i8(x.data(), x.size(), rounded.data());
      CHECK(rounded == std::vector<std::int8_t>(3, 0));
    }
  }
}

TEST_CASE(a_bit_is_set_where_an_entry_is_above_zero) {
  Random random(6);
  for (const std::size_t n : kSizes) {
    std::vector<float> x = random_floats(random, n);
    for (float& value : x) {
      if (random.one_in(4)) value = random.one_in(2) ? -0.0F : 0.0F;
      if (random.one_in(20)) value = NAN;
    }
    for (const CpuLevel level : cpu_levels()) {
      for (const std::uint8_t flip : {std::uint8_t{0}, std::uint8_t{0x80}}) {
        testing::GuardedBytes bits((n + 7) / 8);
        kernels_of(level).round_bits(x.data(), n, flip, bits.data());
        for (std::size_t j = 0; j < (n + 7) / 8 * 8; ++j) {
          const unsigned found = (bits.data()[j / 8] ^ flip) >> (7 - j % 8) & 1U;
          CHECK_EQ(found, j < n && x[j] > 0.0F ? 1U : 0U);
        }
      }
    }
  }
}

// Each output type of the pooler is its float32 one, rounded; vectors lie one behind the other.
TEST_CASE(narrow_outputs_lie_one_behind_the_other) {
  Random random(7);
  constexpr std::size_t kRows = 5;
  const std::vector<std::uint32_t> ids = {0, 1, 2, 3, 4, 4, 1};
  const std::vector<std::size_t> ends = {2, 2, 3, 7};
  for (const std::size_t dim : {std::size_t{3}, std::size_t{16}, std::size_t{21}}) {
    const std::vector<float> rows = random_floats(random, kRows * dim);
    const Pooler pooler({.rows = rows.data(), .n_rows = kRows, .dim = dim, .n_tokens = kRows});
    const kernels::Kernels& level = kernels_of(best_cpu_level());
    Pooler::Scratch scratch;
    std::vector<float> vectors(ends.size() * dim);
    Pooling pooling{dim};
    pooler.pool(ids, ends, pooling, scratch, vectors.data());
    for (const OutputType output :
         {OutputType::kFloat16, OutputType::kInt8, OutputType::kBits, OutputType::kSignedBits}) {
      pooling.output = output;
      testing::GuardedBytes found(ends.size() * pooling.n_bytes());
      pooler.pool(ids, ends, pooling, scratch, found.data());
      std::vector<std::uint16_t> expected(pooling.n_bytes());  // aligned for any of them
      for (std::size_t t = 0; t < ends.size(); ++t) {
        const float* const vector = vectors.data() + t * dim;
        auto* const bytes = reinterpret_cast<std::uint8_t*>(expected.data());
        if (output == OutputType::kFloat16) {
          level.round_f16(vector, dim, expected.data());
        } else if (output == OutputType::kInt8) {
          level.round_i8(vector, dim, reinterpret_cast<std::int8_t*>(bytes));
        } else {
          level.round_bits(vector, dim, output == OutputType::kBits ? 0 : 0x80, bytes);
        }
        CHECK(std::equal(bytes, bytes + pooling.n_bytes(), found.data() + t * pooling.n_bytes()));
      }
    }
  }
}

}  // namespace
