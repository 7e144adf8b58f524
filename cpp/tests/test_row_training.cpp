// Gradients of rows and steps of AdamW against plain loops in float64, at every level.

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "random_text.hpp"
#include "vecsmith/bag.hpp"
#include "vecsmith/pool.hpp"
#include "vecsmith/row_adam.hpp"
#include "vecsmith/row_gradients.hpp"

namespace {

using namespace vecsmith;
using testing::Random;

struct Bag {
  std::vector<std::uint32_t> ids;
  std::vector<std::int64_t> offsets{0};

  Bag(std::size_t n_texts, std::size_t longest, std::size_t n_rows, Random& random) {
    for (std::size_t i = 0; i < n_texts; ++i) {
      for (std::size_t n = random.below(longest + 1); n > 0; --n) {
        ids.push_back(static_cast<std::uint32_t>(random.below(1 + random.below(n_rows))));
      }
      offsets.push_back(static_cast<std::int64_t>(ids.size()));
    }
  }
  BagView view() const { return {ids, offsets}; }
};

// Memory of all cases, so that each finds what others left in it.
MemoryPool pool;

std::vector<float> numbers(std::size_t n, Random& random) {
  std::vector<float> made(n);
  for (float& x : made) x = random.uniform();
  return made;
}

TEST_CASE(means_of_rows_have_the_bits_of_the_pooler_however_often_rows_occur) {
  Random random(3);
  for (const std::size_t dim : std::vector<std::size_t>{1, 15, 64, 127, 128, 129, 300, 515}) {
    for (const std::size_t n_rows : std::vector<std::size_t>{5, 4000}) {
      const Bag bag(1 + random.below(60), 30, n_rows, random);
      const std::vector<float> table = numbers(n_rows * dim, random);
      const std::vector<float> weights = numbers(n_rows, random);
      const std::size_t n_texts = bag.offsets.size() - 1;
      for (const bool weighted : {false, true}) {
        TableView view{table.data(), RowType::kFloat32, n_rows, dim};
        view.n_tokens = n_rows;
        if (weighted) view.weights = weights.data();
        std::vector<float> expected(n_texts * dim);
        std::vector<std::size_t> ends(bag.offsets.begin() + 1, bag.offsets.end());
        Pooler::Scratch scratch;
        Pooler(view, CpuLevel::kBaseline)
            .pool(bag.ids, ends, {dim, false}, scratch, expected.data());
        for (const CpuLevel level : testing::cpu_levels()) {
          std::vector<float> means(n_texts * dim, 7.0F);
          mean_rows({table.data(), view.weights, n_rows, dim}, bag.view(), level, 3, pool,
                    means.data());
          CHECK(means == expected);
        }
      }
    }
  }
}

void check_gradients(std::size_t dim, bool weighted, Random& random) {
  const std::size_t n_rows = 1 + random.below(40);
  const std::vector<Bag> bags = {{random.below(30), 12, n_rows, random}, {9, 12, n_rows, random}};
  std::vector<std::vector<float>> d_vectors;
  for (const Bag& bag : bags) d_vectors.push_back(numbers((bag.offsets.size() - 1) * dim, random));
  const std::vector<float> table = numbers(n_rows * dim, random);
  const std::vector<float> weights = numbers(n_rows, random);

  std::map<std::int64_t, std::vector<double>> expected;
  for (std::size_t b = 0; b < bags.size(); ++b) {
    for (std::size_t t = 0; t + 1 < bags[b].offsets.size(); ++t) {
      const auto first = bags[b].offsets[t];
      const auto last = bags[b].offsets[t + 1];
      for (auto i = first; i < last; ++i) {
        auto& row = expected[bags[b].ids[static_cast<std::size_t>(i)]];
        row.resize(dim);
        for (std::size_t j = 0; j < dim; ++j) {
          row[j] += double{d_vectors[b][t * dim + j]} / static_cast<double>(last - first);
        }
      }
    }
  }
  const std::vector<BagView> views = {bags[0].view(), bags[1].view()};
  const std::vector<const float*> arrays = {d_vectors[0].data(), d_vectors[1].data()};
  const TouchedRows touched(views, n_rows);
  CHECK_EQ(touched.ids().size(), expected.size());
  for (const CpuLevel level : testing::cpu_levels()) {
    std::vector<float> first_rows;
    for (const std::size_t n_threads : std::vector<std::size_t>{1, 3}) {
      std::vector<float> rows(expected.size() * dim, 7.0F);
      std::vector<float> d_weights(expected.size());
      std::vector<double> squares(expected.size());
      touched.gather(arrays, dim, weighted ? table.data() : nullptr,
                     weighted ? weights.data() : nullptr, level, n_threads, pool,
                     {rows.data(), weighted ? d_weights.data() : nullptr, squares.data()});
      std::size_t i = 0;
      for (const auto& [id, sums] : expected) {
        CHECK_EQ(touched.ids()[i], id);
        const auto row = static_cast<std::size_t>(id);
        double product = 0.0;
        double square = 0.0;
        for (std::size_t j = 0; j < dim; ++j) {
          product += sums[j] * double{table[row * dim + j]};
          const double own = weighted ? sums[j] * double{weights[row]} : sums[j];
          square += own * own;
          CHECK(std::abs(double{rows[i * dim + j]} - own) < 1e-5);
        }
        if (weighted) {
          CHECK(std::abs(double{d_weights[i]} - product) < 1e-4);
          square += product * product;
        }
        CHECK(std::abs(squares[i] - square) < 1e-4 * (1.0 + square));
        ++i;
      }
      if (first_rows.empty()) first_rows = rows;
      CHECK(first_rows == rows);
    }
  }
}

TEST_CASE(gradients_of_rows_are_those_of_plain_loops_at_every_width) {
  Random random(1);
  for (const std::size_t dim :
       std::vector<std::size_t>{1, 3, 16, 31, 100, 255, 256, 257, 300, 512, 700}) {
    check_gradients(dim, false, random);
    check_gradients(dim, true, random);
  }
}

TEST_CASE(a_row_in_very_many_texts_is_summed_whole) {
  const std::size_t n = 20000;
  const std::vector<std::uint32_t> ids(n, 1);
  std::vector<std::int64_t> offsets(n + 1);
  for (std::size_t i = 0; i <= n; ++i) offsets[i] = static_cast<std::int64_t>(i);
  const std::vector<float> ones(n * 2, 0.1F);
  const std::vector<BagView> views = {{ids, offsets}};
  const std::vector<const float*> arrays = {ones.data()};
  const TouchedRows touched(views, 3);
  std::vector<float> rows(2);
  std::vector<double> squares(1);
  touched.gather(arrays, 2, nullptr, nullptr, best_cpu_level(), 2, pool,
                 {rows.data(), nullptr, squares.data()});
  CHECK(std::abs(rows[0] - 2000.0F) < 0.05F);
}

TEST_CASE(ids_and_offsets_that_point_nowhere_are_refused) {
  const std::vector<std::uint32_t> ids = {0, 4};
  const auto refused = [&](std::vector<std::int64_t> offsets, std::size_t n_rows) {
    const std::vector<BagView> views = {{ids, offsets}};
    CHECK_THROWS(TouchedRows(views, n_rows), std::out_of_range);
    std::vector<float> rows(5);
    CHECK_THROWS(mean_rows({rows.data(), nullptr, n_rows, 1}, views[0], CpuLevel::kBaseline, 1,
                           pool, rows.data()),
                 std::out_of_range);
  };
  refused({0, 2}, 4);
  refused({0, 3}, 5);
  refused({1, 2}, 5);
  refused({0, 1}, 5);
  refused({0, 2, 1, 2}, 5);
  refused({-1, 2}, 5);
  refused({}, 5);
}

TEST_CASE(a_step_of_adam_is_that_of_the_formula_at_every_width) {
  Random random(2);
  for (const std::size_t dim : std::vector<std::size_t>{1, 7, 16, 33, 130}) {
    const std::size_t n_rows = 9;
    const std::vector<std::int64_t> ids = {0, 3, 8};
    const std::vector<std::int64_t> touched = {4, 0, 0, 1, 0, 0, 0, 0, 0};
    const std::vector<float> values = numbers(n_rows * dim, random);
    const std::vector<float> first = numbers(n_rows * dim, random);
    std::vector<float> second = numbers(n_rows * dim, random);
    for (float& x : second) x = std::abs(x);
    const std::vector<float> gradients = numbers(ids.size() * dim, random);
    const AdamSettings settings{0.9, 0.999, 1e-8, 0.1, 0.01, 0.5, 5};
    std::vector<float> kept;
    for (const CpuLevel level : testing::cpu_levels()) {
      std::vector<float> v = values;
      std::vector<float> m1 = first;
      std::vector<float> m2 = second;
      adam_rows({v.data(), m1.data(), m2.data(), n_rows, dim}, ids, gradients.data(), touched,
                settings, level, 2);
      for (std::size_t row = 0; row < n_rows; ++row) {
        const auto place = std::ranges::find(ids, static_cast<std::int64_t>(row));
        for (std::size_t j = 0; j < dim; ++j) {
          const std::size_t at = row * dim + j;
          double value = double{values[at]};
          if (place != ids.end()) {
            const auto i = static_cast<std::size_t>(place - ids.begin());
            const double g = 0.5 * double{gradients[i * dim + j]};
            const auto absent = static_cast<double>(5 - touched[row]);
            const double m = std::pow(0.9, absent) * double{first[at]} + 0.1 * g;
            const double s = std::pow(0.999, absent) * double{second[at]} + 0.001 * g * g;
            const double root = std::sqrt(s / (1.0 - std::pow(0.999, 5.0)));
            value =
                value * (1.0 - 0.1 * 0.01) - 0.1 * m / (1.0 - std::pow(0.9, 5.0)) / (root + 1e-8);
            CHECK(std::abs(double{m1[at]} - m) < 1e-6);
            CHECK(std::abs(double{m2[at]} - s) < 1e-6);
          }
          CHECK(std::abs(double{v[at]} - value) < 1e-5);
        }
      }
      if (kept.empty()) kept = v;
      CHECK(kept == v);  // every level gives the same bits
    }
  }
}

TEST_CASE(rows_that_do_not_rise_or_are_not_there_are_refused) {
  std::vector<float> values(8);
  const std::vector<float> gradients(8);
  const std::vector<std::int64_t> touched = {0, 0, 0, 5};
  const AdamSettings settings{0.9, 0.999, 1e-8, 0.1, 0.0, 1.0, 5};
  const auto refused = [&](std::vector<std::int64_t> ids, std::size_t n_clocks) {
    const TrainedRows rows{values.data(), values.data(), values.data(), 4, 2};
    CHECK_THROWS(adam_rows(rows, ids, gradients.data(),
                           std::span<const std::int64_t>(touched).first(n_clocks), settings,
                           CpuLevel::kBaseline, 1),
                 std::out_of_range);
  };
  refused({1, 1}, 4);
  refused({2, 1}, 4);
  refused({4}, 4);
  refused({-1}, 4);
  refused({3}, 4);
  refused({0}, 3);
}

}  // namespace
