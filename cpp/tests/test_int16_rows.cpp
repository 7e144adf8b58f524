// Rows of 16-bit codes: whole sums that no order changes, at every level.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "random_text.hpp"
#include "vecsmith/pool.hpp"

namespace {

using namespace vecsmith;
using testing::Random;

struct Codes {
  Codes(std::size_t rows, std::size_t width, Random& random)
      : codes(2 * rows * width), scales(width), n_rows(rows), dim(width) {
    for (std::size_t i = 0; i < rows * width; ++i) {
      at(i) = static_cast<std::int16_t>(static_cast<int>(random.below(65536)) - 32768);
    }
    for (float& scale : scales) scale = random.uniform() / 16384;
  }

  std::int16_t& at(std::size_t i) { return reinterpret_cast<std::int16_t*>(codes.data())[i]; }

  TableView view() {
    return {.rows = codes.data(),
            .type = RowType::kInt16,
            .n_rows = n_rows,
            .dim = dim,
            .n_tokens = n_rows,
            .column_scales = scales.data()};
  }

  testing::GuardedBytes codes;  // ends where a page begins that must not be touched
  std::vector<float> scales;
  std::size_t n_rows, dim;
};

std::vector<float> pooled(const Pooler& pooler, const std::vector<std::uint32_t>& ids,
                          std::size_t dim) {
  const std::vector<std::size_t> ends = {ids.size()};
  std::vector<float> out(dim);
  Pooler::Scratch scratch;
  pooler.pool(ids, ends, {dim, false}, scratch, out.data());
  return out;
}

std::vector<std::uint32_t> random_ids(Random& random, std::size_t n, std::size_t n_rows) {
  std::vector<std::uint32_t> ids(n);
  for (auto& id : ids) id = static_cast<std::uint32_t>(random.below(n_rows));
  return ids;
}

TEST_CASE(every_level_adds_codes_as_whole_numbers_and_rounds_once) {
  Random random(21);
  for (const std::size_t dim : std::vector<std::size_t>{1, 3, 8, 17, 31, 64, 100, 255, 256, 300}) {
    Codes codes(9, dim, random);
    for (const std::size_t n : std::vector<std::size_t>{1, 2, 7, 40}) {
      std::vector<std::uint32_t> ids = random_ids(random, n, codes.n_rows);
      ids.back() = 8;  // the row that ends at the page
      const std::size_t prefix = 1 + random.below(dim);
      std::vector<float> expected(prefix);
      for (std::size_t j = 0; j < prefix; ++j) {
        std::int64_t sum = 0;
        for (const std::uint32_t id : ids) sum += codes.at(id * dim + j);
        volatile float scaled = static_cast<float>(sum) * codes.scales[j];
        expected[j] = scaled / static_cast<float>(n);
      }
      for (const CpuLevel level : testing::cpu_levels()) {
        CHECK(pooled(Pooler(codes.view(), level), ids, prefix) == expected);
      }
    }
  }
}

TEST_CASE(the_order_of_the_tokens_changes_no_bit) {
  Random random(22);
  Codes codes(50, 100, random);
  const Pooler pooler(codes.view());
  std::vector<std::uint32_t> ids = random_ids(random, 3000, codes.n_rows);
  const std::vector<float> expected = pooled(pooler, ids, 100);
  std::ranges::reverse(ids);
  CHECK(pooled(pooler, ids, 100) == expected);
  std::ranges::sort(ids);
  CHECK(pooled(pooler, ids, 100) == expected);
}

TEST_CASE(the_largest_sums_of_codes_do_not_overflow) {
  Random random(23);
  Codes codes(1, 40, random);
  for (std::size_t j = 0; j < 40; ++j) codes.at(j) = j % 2 == 0 ? -32768 : 32767;
  for (const CpuLevel level : testing::cpu_levels()) {
    const Pooler pooler(codes.view(), level);
    for (const std::size_t n : {std::size_t{65536}, std::size_t{65537}, std::size_t{200000}}) {
      const std::vector<float> mean = pooled(pooler, std::vector<std::uint32_t>(n), 40);
      for (std::size_t j = 0; j < 40; ++j) {
        const float expected = static_cast<float>(codes.at(j)) * codes.scales[j];
        CHECK(std::abs(mean[j] - expected) <= 1e-6F * std::abs(expected));
      }
    }
  }
}

TEST_CASE(weighted_codes_are_added_as_floats_in_the_order_of_the_tokens) {
  Random random(24);
  for (const std::size_t dim : std::vector<std::size_t>{1, 16, 31, 100, 256}) {
    Codes codes(7, dim, random);
    std::vector<float> weights(codes.n_rows);
    for (float& weight : weights) weight = random.uniform();
    TableView view = codes.view();
    view.weights = weights.data();
    const std::vector<std::uint32_t> ids = random_ids(random, 20, codes.n_rows);
    std::vector<float> expected(dim);
    for (std::size_t j = 0; j < dim; ++j) {
      volatile float sum = 0;
      for (const std::uint32_t id : ids) {
        volatile float term = static_cast<float>(codes.at(id * dim + j)) * weights[id];
        sum = sum + term;
      }
      volatile float scaled = sum * codes.scales[j];
      expected[j] = scaled / 20.0F;
    }
    for (const CpuLevel level : testing::cpu_levels()) {
      CHECK(pooled(Pooler(view, level), ids, dim) == expected);
    }
  }
}

TEST_CASE(codes_without_scales_are_refused) {
  Random random(25);
  Codes codes(2, 3, random);
  TableView view = codes.view();
  view.column_scales = nullptr;
  CHECK_THROWS(Pooler(view), std::invalid_argument);
}

}  // namespace
