// Row sums of every level, bit for bit against a scalar loop; unit vectors against double
// precision.

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "kernels/kernels.hpp"
#include "random_text.hpp"
#include "vecsmith/pool.hpp"

namespace {

using namespace vecsmith;
using testing::GuardedBytes;
using testing::Random;

constexpr RowType kTypes[] = {RowType::kFloat32, RowType::kFloat16, RowType::kBfloat16,
                              RowType::kInt8, RowType::kInt4};

// Bytes of a row.
std::size_t size_of(RowType type, std::size_t dim) {
  if (type == RowType::kInt4) return int4_groups(dim) * kInt4GroupBytes;
  return number_bytes(type) * dim;
}

// A half as IEEE 754 defines it.
float float_of_half(std::uint16_t half) {
  const int exponent = half >> 10U & 31;
  const int fraction = half & 1023;
  float x = 0.0F;
  if (exponent == 31) {
    x = fraction == 0 ? std::numeric_limits<float>::infinity()
                      : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    x = std::ldexp(static_cast<float>(fraction), -24);
  } else {
    x = std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  }
  return (half & 0x8000U) != 0 ? -x : x;
}

// A bfloat16 as its fields say.
float float_of_bfloat16(std::uint16_t half) {
  const int exponent = half >> 7U & 255;
  const int fraction = half & 127;
  const float x = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -133)
                                : std::ldexp(static_cast<float>(128 + fraction), exponent - 134);
  return (half & 0x8000U) != 0 ? -x : x;
}

// A table whose parts end where pages begin that must not be touched.
struct Table {
  Table(RowType row_type, std::size_t rows, std::size_t width, Random& random)
      : bytes(rows * size_of(row_type, width)),
        scale_bytes(row_type == RowType::kInt4 ? rows * int4_groups(width) * 2 : 0),
        level_bytes(row_type == RowType::kInt4 ? kInt4Levels : 0),
        type(row_type),
        n_rows(rows),
        dim(width) {
    if (type == RowType::kInt4) {
      fill_int4(random);
    } else {
      fill_plain(random);
    }
  }

  void fill_plain(Random& random) {
    for (std::size_t i = 0; i < n_rows * dim; ++i) {
      if (type == RowType::kFloat32) {
        const float x = random.uniform();
        std::memcpy(bytes.data() + 4 * i, &x, 4);
      } else if (type == RowType::kFloat16) {
        // finite halves of every size, subnormal ones and zeros of both signs among them
        auto half = static_cast<std::uint16_t>(random.below(0x7C00) &
                                               (random.one_in(4) ? 0x3FFU : 0x7FFFU));
        if (random.one_in(2)) half |= 0x8000U;
        std::memcpy(bytes.data() + 2 * i, &half, 2);
      } else if (type == RowType::kBfloat16) {
        // of moderate sizes and both signs, subnormal ones among them
        const auto exponent = static_cast<unsigned>(random.one_in(9) ? 0 : 110 + random.below(30));
        const auto half =
            static_cast<std::uint16_t>(random.below(2) << 15U | exponent << 7U | random.below(128));
        std::memcpy(bytes.data() + 2 * i, &half, 2);
      } else {
        bytes.data()[i] = static_cast<unsigned char>(random.below(256));
      }
    }
  }

  // Codes and levels of every value, scales of moderate sizes and both signs.
  void fill_int4(Random& random) {
    for (std::size_t i = 0; i < n_rows * size_of(type, dim); ++i) {
      bytes.data()[i] = static_cast<unsigned char>(random.below(256));
    }
    for (std::size_t i = 0; i < n_rows * int4_groups(dim); ++i) {
      const auto exponent = static_cast<unsigned>(random.one_in(9) ? 0 : 110 + random.below(20));
      const auto half =
          static_cast<std::uint16_t>(random.below(2) << 15U | exponent << 7U | random.below(128));
      std::memcpy(scale_bytes.data() + 2 * i, &half, 2);
    }
    for (std::size_t i = 0; i < kInt4Levels; ++i) {
      level_bytes.data()[i] = static_cast<unsigned char>(random.below(256));
    }
  }

  float at(std::size_t row, std::size_t column) {
    if (type == RowType::kInt4) {
      const std::size_t group = row * int4_groups(dim) + column / kInt4Group;
      const unsigned byte = bytes.data()[group * kInt4GroupBytes + column % kInt4GroupBytes];
      const unsigned code = column % kInt4Group < kInt4GroupBytes ? byte & 15U : byte >> 4U;
      std::uint16_t scale = 0;
      std::memcpy(&scale, scale_bytes.data() + 2 * group, 2);
      return static_cast<float>(static_cast<std::int8_t>(level_bytes.data()[code])) *
             float_of_bfloat16(scale);
    }
    const std::size_t i = row * dim + column;
    if (type == RowType::kFloat32) {
      float x = 0;
      std::memcpy(&x, bytes.data() + 4 * i, 4);
      return x;
    }
    if (type == RowType::kInt8)
      return static_cast<float>(static_cast<std::int8_t>(bytes.data()[i]));
    std::uint16_t half = 0;
    std::memcpy(&half, bytes.data() + 2 * i, 2);
    return type == RowType::kBfloat16 ? float_of_bfloat16(half) : float_of_half(half);
  }

  TableView view() {
    TableView view{
        .rows = bytes.data(), .type = type, .n_rows = n_rows, .dim = dim, .n_tokens = n_rows};
    if (type == RowType::kInt4) {
      view.scales = reinterpret_cast<const std::uint16_t*>(scale_bytes.data());
      view.levels = reinterpret_cast<const std::int8_t*>(level_bytes.data());
    }
    return view;
  }

  GuardedBytes bytes, scale_bytes, level_bytes;
  RowType type;
  std::size_t n_rows, dim;
};

// Mean in float32 in order of the tokens, as the loop that says so.
std::vector<float> plain_mean(Table& table, const TableView& view,
                              const std::vector<std::uint32_t>& ids, std::size_t dim,
                              std::int64_t dropped_id) {
  std::vector<float> out(dim, 0.0F);
  std::size_t n = 0;
  for (const std::uint32_t id : ids) {
    if (id == dropped_id) continue;
    ++n;
    const std::size_t row = view.mapping != nullptr ? view.mapping[id] : id;
    for (std::size_t j = 0; j < dim; ++j) {
      volatile float x =
          table.at(row, j);  // rounded at each step, whatever the compiler would like
      if (view.weights != nullptr) x = x * view.weights[id];
      out[j] += x;
    }
  }
  if (n > 1) {
    for (float& x : out) x /= static_cast<float>(n);
  }
  return out;
}

bool same_bits(const float* a, const float* b, std::size_t n) {
  return std::memcmp(a, b, 4 * n) == 0;
}

// Texts of 0 to 40 tokens, checked at every level.
void check_pooling(Table& table, const TableView& view, Random& random, std::size_t dim,
                   std::int64_t dropped_id) {
  std::vector<std::uint32_t> ids;
  std::vector<std::size_t> ends;
  std::vector<std::vector<std::uint32_t>> texts;
  for (const std::size_t n : {std::size_t{3}, std::size_t{0}, std::size_t{1}, random.below(40)}) {
    auto& text = texts.emplace_back();
    while (text.size() < n) text.push_back(static_cast<std::uint32_t>(random.below(view.n_tokens)));
    // the last row is the one that ends at the page
    if (!text.empty() && view.mapping == nullptr)
      text.back() = static_cast<std::uint32_t>(view.n_rows - 1);
    ids.insert(ids.end(), text.begin(), text.end());
    ends.push_back(ids.size());
  }
  for (const CpuLevel level : testing::cpu_levels()) {
    const Pooler pooler(view, level);
    Pooler::Scratch scratch;
    std::vector<float> means(texts.size() * dim, 7.0F);
    pooler.pool(ids, ends, {dim, false, dropped_id}, scratch, means.data());
    std::vector<float> units(texts.size() * dim, 7.0F);
    pooler.pool(ids, ends, {dim, true, dropped_id}, scratch, units.data());
    for (std::size_t t = 0; t < texts.size(); ++t) {
      const std::vector<float> expected = plain_mean(table, view, texts[t], dim, dropped_id);
      CHECK(same_bits(means.data() + t * dim, expected.data(), dim));
      double squares = 0;
      for (const float x : expected) squares += double{x} * double{x};
      const double length = squares > 0 ? std::sqrt(squares) : 1.0;
      for (std::size_t j = 0; j < dim; ++j) {
        if (!(std::abs(double{units[t * dim + j]} - double{expected[j]} / length) < 1e-6)) {
          CHECK_EQ(units[t * dim + j], static_cast<float>(double{expected[j]} / length));
        }
      }
    }
  }
}

TEST_CASE(every_level_adds_rows_as_a_scalar_loop_does_at_every_width) {
  Random random(9);
  std::vector<std::size_t> dims = {100, 255, 256, 257, 258, 259, 260, 300, 384, 1000};
  for (std::size_t dim = 1; dim <= 70; ++dim) dims.push_back(dim);
  for (const RowType type : kTypes) {
    for (const std::size_t dim : dims) {
      Table table(type, 11, dim, random);
      std::vector<float> weights(11);
      for (float& weight : weights) weight = random.uniform();
      TableView view = table.view();
      check_pooling(table, view, random, dim, Pooling::kNone);
      view.weights = weights.data();
      check_pooling(table, view, random, dim, Pooling::kNone);
    }
  }
}

TEST_CASE(a_prefix_of_the_columns_is_the_prefix_of_the_whole) {
  Random random(10);
  for (const RowType type : kTypes) {
    Table table(type, 7, 300, random);
    for (const std::size_t dim :
         std::vector<std::size_t>{1, 2, 15, 16, 17, 31, 64, 100, 255, 256, 257, 299}) {
      check_pooling(table, table.view(), random, dim, Pooling::kNone);
    }
  }
}

TEST_CASE(mapped_weighted_and_dropped_tokens_pool_as_the_loop_says) {
  Random random(11);
  for (const RowType type : kTypes) {
    for (std::size_t round = 0; round < testing::rounds(60); ++round) {
      Table table(type, 1 + random.below(9), 1 + random.below(80), random);
      const std::size_t n_tokens = 1 + random.below(20);
      std::vector<std::uint32_t> mapping(n_tokens);
      std::vector<float> weights(n_tokens);
      for (auto& row : mapping) row = static_cast<std::uint32_t>(random.below(table.n_rows));
      for (float& weight : weights) weight = random.uniform();
      TableView view = table.view();
      view.n_tokens = n_tokens;
      view.mapping = mapping.data();
      if (random.one_in(2)) view.weights = weights.data();
      const auto dropped = static_cast<std::int64_t>(random.below(n_tokens));
      check_pooling(table, view, random, table.dim, random.one_in(3) ? Pooling::kNone : dropped);
    }
  }
}

TEST_CASE(every_half_value_is_converted_right_at_every_level) {
  std::vector<std::uint16_t> halves(65536);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  for (const CpuLevel level : testing::cpu_levels()) {
    // One wide row goes through the vectors, one value a row through what is left over.
    for (const std::size_t dim : {std::size_t{65536}, std::size_t{1}}) {
      const Pooler pooler({.rows = halves.data(),
                           .type = RowType::kFloat16,
                           .n_rows = 65536 / dim,
                           .dim = dim,
                           .n_tokens = 65536 / dim},
                          level);
      std::vector<std::uint32_t> ids(65536 / dim);
      std::vector<std::size_t> ends(ids.size());
      for (std::size_t i = 0; i < ids.size(); ++i) {
        ids[i] = static_cast<std::uint32_t>(i);
        ends[i] = i + 1;
      }
      std::vector<float> out(65536);
      Pooler::Scratch scratch;
      pooler.pool(ids, ends, {dim, false}, scratch, out.data());
      for (std::size_t i = 0; i < out.size(); ++i) {
        const float expected = float_of_half(halves[i]);
        const bool right = std::isnan(expected) ? std::isnan(out[i]) : out[i] == expected;
        if (!right) CHECK_EQ(out[i], expected);
      }
    }
  }
}

TEST_CASE(every_bfloat16_is_the_upper_half_of_a_float_at_every_level) {
  std::vector<std::uint16_t> halves(65536);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  const TableView table{.rows = halves.data(),
                        .type = RowType::kBfloat16,
                        .n_rows = 1,
                        .dim = halves.size(),
                        .n_tokens = 1};
  const std::vector<std::uint32_t> ids = {0};
  const std::vector<std::size_t> ends = {1};
  for (const CpuLevel level : testing::cpu_levels()) {
    std::vector<float> out(halves.size());
    Pooler::Scratch scratch;
    Pooler(table, level).pool(ids, ends, {table.dim, false}, scratch, out.data());
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto expected = std::bit_cast<float>(static_cast<std::uint32_t>(i) << 16U);
      const bool right = std::isnan(expected) ? std::isnan(out[i]) : out[i] == expected;
      if (!right) CHECK_EQ(out[i], expected);
    }
  }
}

TEST_CASE(every_code_of_four_bits_is_its_level_times_its_scale_at_every_level) {
  std::vector<std::uint8_t> codes(kInt4GroupBytes);
  for (std::size_t k = 0; k < kInt4GroupBytes; ++k) {
    codes[k] = static_cast<std::uint8_t>(k | (15 - k) << 4U);
  }
  const std::vector<std::int8_t> levels = {-128, -99, -77, -62, -48, -34, -20, -7,
                                           6,    20,  34,  48,  62,  77,  96,  127};
  const std::uint16_t scale = 0xBF40;  // -0.75
  for (const CpuLevel level : testing::cpu_levels()) {
    const Pooler pooler({.rows = codes.data(),
                         .type = RowType::kInt4,
                         .n_rows = 1,
                         .dim = kInt4Group,
                         .n_tokens = 1,
                         .scales = &scale,
                         .levels = levels.data()},
                        level);
    const std::vector<std::uint32_t> ids = {0};
    const std::vector<std::size_t> ends = {1};
    std::vector<float> out(kInt4Group);
    Pooler::Scratch scratch;
    pooler.pool(ids, ends, {kInt4Group, false}, scratch, out.data());
    for (std::size_t k = 0; k < kInt4GroupBytes; ++k) {
      CHECK_EQ(out[k], -0.75F * static_cast<float>(levels[k]));
      CHECK_EQ(out[k + 16], -0.75F * static_cast<float>(levels[15 - k]));
    }
  }
}

TEST_CASE(no_tokens_and_only_dropped_tokens_give_zeros) {
  Random random(12);
  Table table(RowType::kFloat32, 3, 20, random);
  const Pooler pooler(table.view());
  const std::vector<std::uint32_t> ids = {2, 2, 2};
  const std::vector<std::size_t> ends = {0, 3};
  for (const bool normalize : {true, false}) {
    std::vector<float> out(40, 7.0F);
    Pooler::Scratch scratch;
    pooler.pool(ids, ends, {20, normalize, 2}, scratch, out.data());
    for (const float x : out) CHECK(x == 0.0F && !std::signbit(x));
  }
}

TEST_CASE(rows_of_any_finite_size_give_unit_vectors) {
  for (const float size : {1e-44F, 1e-38F, 1e-20F, 1e-10F, 1.0F, 1e15F, 1e19F, 3e38F}) {
    const std::vector<float> row = {size, -size, size, size};
    const Pooler pooler({.rows = row.data(), .n_rows = 1, .dim = 4, .n_tokens = 1});
    const std::vector<std::uint32_t> ids = {0};
    const std::vector<std::size_t> ends = {1};
    std::vector<float> out(4);
    Pooler::Scratch scratch;
    pooler.pool(ids, ends, {4, true}, scratch, out.data());
    CHECK(std::abs(out[0] - 0.5F) < 1e-6F && std::abs(out[1] + 0.5F) < 1e-6F);
  }
}

TEST_CASE(every_level_scales_to_unit_length_with_the_same_bits) {
  Random random(13);
  for (const std::size_t n :
       std::vector<std::size_t>{1, 7, 15, 16, 17, 31, 32, 33, 127, 128, 255, 256, 257, 1000}) {
    std::vector<float> x(n);
    double squares = 0;
    for (float& value : x) {
      value = random.uniform();
      squares += double{value} * double{value};
    }
    std::vector<float> baseline = x;
    CHECK(kernels::kernels_of(CpuLevel::kBaseline).normalize(baseline.data(), n, 1.0F));
    for (std::size_t j = 0; j < n; ++j) {
      CHECK(std::abs(double{baseline[j]} - double{x[j]} / std::sqrt(squares)) < 1e-6);
    }
    for (const CpuLevel level : testing::cpu_levels()) {
      std::vector<float> scaled = x;
      CHECK(kernels::kernels_of(level).normalize(scaled.data(), n, 1.0F));
      CHECK(scaled == baseline);
    }
  }
}

TEST_CASE(sums_of_millions_of_rows_do_not_drift) {
  const std::vector<float> rows = {0.1F, -0.7F, 1.0F / 3.0F};
  const Pooler pooler({.rows = rows.data(), .n_rows = 1, .dim = 3, .n_tokens = 1});
  const std::vector<std::uint32_t> ids(5'000'000);
  const std::vector<std::size_t> ends = {ids.size()};
  std::vector<float> out(3);
  Pooler::Scratch scratch;
  pooler.pool(ids, ends, {3, false}, scratch, out.data());
  for (std::size_t j = 0; j < 3; ++j) CHECK(std::abs(out[j] - rows[j]) < 1e-3F * std::abs(rows[j]));
}

TEST_CASE(parts_that_do_not_fit_are_refused) {
  const std::vector<float> rows(6);
  const std::vector<std::uint32_t> mapping = {0, 2};
  CHECK_THROWS(Pooler({.rows = rows.data(), .n_rows = 3, .dim = 0, .n_tokens = 3}),
               std::invalid_argument);
  CHECK_THROWS(Pooler({.rows = rows.data(), .n_rows = 3, .dim = 2, .n_tokens = 2}),
               std::invalid_argument);
  CHECK_THROWS(
      Pooler(
          {.rows = rows.data(), .n_rows = 2, .dim = 3, .mapping = mapping.data(), .n_tokens = 2}),
      std::invalid_argument);
  CHECK_THROWS(
      Pooler({.rows = rows.data(), .type = RowType::kInt4, .n_rows = 1, .dim = 32, .n_tokens = 1}),
      std::invalid_argument);
}

}  // namespace
