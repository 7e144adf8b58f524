// The loss over prefixes against plain loops in float64, at every level.

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "check.hpp"
#include "random_text.hpp"
#include "vecsmith/nested_info_nce.hpp"

namespace {

using namespace vecsmith;
using testing::Random;

float away_from_zero(Random& random) {
  const float x = random.uniform();
  return x + std::copysign(0.25F, x);
}

struct Batch {
  std::size_t n_queries, n_candidates, dim;
  std::vector<float> queries, candidates;
  std::vector<std::size_t> lengths;
  std::vector<float> weights;
  std::vector<std::int64_t> query_keys, candidate_keys;
  float temperature = 0.05F;
  bool both = false;

  Batch(std::size_t n_queries, std::size_t n_candidates, std::size_t dim,
        std::vector<std::size_t> lengths, Random& random)
      : n_queries(n_queries),
        n_candidates(n_candidates),
        dim(dim),
        queries(n_queries * dim),
        candidates(n_candidates * dim),
        lengths(std::move(lengths)) {
    // away from 0: short vectors have long gradients, which no bound for all would fit
    for (auto* const vectors : {&queries, &candidates}) {
      for (float& x : *vectors) x = away_from_zero(random);
    }
    for (std::size_t k = 0; k < this->lengths.size(); ++k)
      weights.push_back(0.1F + std::abs(random.uniform()));
  }

  void add_keys(Random& random) {
    for (std::size_t i = 0; i < n_queries; ++i) {
      query_keys.push_back(static_cast<std::int64_t>(random.below(2 * n_candidates)));
    }
    for (std::size_t i = 0; i < n_candidates; ++i) {
      candidate_keys.push_back(static_cast<std::int64_t>(random.below(2 * n_candidates)));
    }
  }

  NestedContrast contrast() const {
    NestedContrast made;
    made.queries = {queries.data(), n_queries, dim};
    made.candidates = {candidates.data(), n_candidates, dim};
    made.lengths = lengths;
    made.weights = weights;
    made.temperature = temperature;
    made.both_directions = both;
    made.query_keys = query_keys;
    made.candidate_keys = candidate_keys;
    return made;
  }

  bool excluded(std::size_t q, std::size_t c) const {
    if (query_keys.empty() || q == c) return false;
    const auto own = [&](std::int64_t key) {
      return key == query_keys[q] || key == candidate_keys[q];
    };
    return own(candidate_keys[c]) || (c < n_queries && own(query_keys[c]));
  }
};

// Memory of all batches, so that each finds what others left in it.
MemoryPool pool;

struct Answer {
  double loss = 0.0;
  std::vector<double> d_queries, d_candidates;
};

// Cosines, soft-max and gradients as the formulas say, one number at a time.
Answer plain_answer(const Batch& b) {
  Answer answer{0.0, std::vector<double>(b.queries.size()),
                std::vector<double>(b.candidates.size())};
  const std::size_t n = b.n_queries;
  const std::size_t m = b.n_candidates;
  for (std::size_t k = 0; k < b.lengths.size(); ++k) {
    const std::size_t length = b.lengths[k];
    const auto norm = [length](const float* x) {
      double squares = 0.0;
      for (std::size_t d = 0; d < length; ++d) squares += double{x[d]} * double{x[d]};
      return std::sqrt(squares);
    };
    std::vector<double> cosines(n * m);
    std::vector<double> logits(n * m);
    for (std::size_t q = 0; q < n; ++q) {
      const float* const x = b.queries.data() + q * b.dim;
      for (std::size_t c = 0; c < m; ++c) {
        const float* const y = b.candidates.data() + c * b.dim;
        double dot = 0.0;
        for (std::size_t d = 0; d < length; ++d) dot += double{x[d]} * double{y[d]};
        const double norms = norm(x) * norm(y);
        cosines[q * m + c] = norms > 0.0 ? dot / norms : 0.0;
        logits[q * m + c] = b.excluded(q, c) ? -std::numeric_limits<double>::infinity()
                                             : cosines[q * m + c] / double{b.temperature};
      }
    }
    std::vector<double> asked(n * m);
    const double share = double{b.weights[k]} / static_cast<double>(n) / (b.both ? 2.0 : 1.0);
    const auto pick = [&](std::size_t own, std::size_t count, const auto& at) {
      double highest = -std::numeric_limits<double>::infinity();
      for (std::size_t j = 0; j < count; ++j) highest = std::max(highest, logits[at(j)]);
      double sum = 0.0;
      double others = 0.0;  // 1 - p from what stands beside p: nothing is rounded away
      for (std::size_t j = 0; j < count; ++j) {
        const double power = std::exp(logits[at(j)] - highest);
        sum += power;
        if (j != own) others += power;
      }
      answer.loss += share * (highest + std::log(sum) - logits[at(own)]);
      for (std::size_t j = 0; j < count; ++j) {
        if (j != own) asked[at(j)] += share * std::exp(logits[at(j)] - highest) / sum;
      }
      asked[at(own)] -= share * others / sum;
    };
    for (std::size_t q = 0; q < n; ++q) pick(q, m, [&](std::size_t j) { return q * m + j; });
    for (std::size_t c = 0; b.both && c < n; ++c) {
      pick(c, n, [&](std::size_t j) { return j * m + c; });
    }
    for (std::size_t q = 0; q < n; ++q) {
      const float* const x = b.queries.data() + q * b.dim;
      for (std::size_t c = 0; c < m; ++c) {
        const float* const y = b.candidates.data() + c * b.dim;
        const double nx = norm(x);
        const double ny = norm(y);
        if (!(nx * ny > 0.0)) continue;
        const double g = asked[q * m + c] / double{b.temperature};
        const double cosine = cosines[q * m + c];
        for (std::size_t d = 0; d < length; ++d) {
          answer.d_queries[q * b.dim + d] +=
              g * (double{y[d]} / (nx * ny) - cosine * double{x[d]} / (nx * nx));
          answer.d_candidates[c * b.dim + d] +=
              g * (double{x[d]} / (nx * ny) - cosine * double{y[d]} / (ny * ny));
        }
      }
    }
  }
  return answer;
}

// Largest difference, as a share of what gradients of one pair may be: weights over temperature,
// number of queries and the length of a vector.
double worst(const Batch& b, const std::vector<float>& found, const std::vector<double>& expected) {
  double weights = 0.0;
  for (const float weight : b.weights) weights += double{weight};
  const double shortest = std::sqrt(static_cast<double>(b.lengths[0]) / 3.0);
  const double unit =
      weights / (double{b.temperature} * static_cast<double>(b.n_queries) * shortest);
  double most = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(double{found[i]} - expected[i]);
    if (!(difference <= most)) most = difference;  // also takes what is not a number
  }
  return most / unit;
}

// Largest difference of a vector's gradient from the expected one, as a share of its length.
double worst_row(const std::vector<float>& found, const std::vector<double>& expected,
                 std::size_t dim) {
  double most = 0.0;
  for (std::size_t i = 0; i < found.size(); i += dim) {
    double off = 0.0;
    double whole = 0.0;
    for (std::size_t d = i; d < i + dim; ++d) {
      off += (double{found[d]} - expected[d]) * (double{found[d]} - expected[d]);
      whole += expected[d] * expected[d];
    }
    const double share = std::sqrt(off / whole);
    if (!(share <= most)) most = share;  // also takes what is not a number
  }
  return most;
}

void check_batch(const Batch& batch, double tolerance, bool bfloat16) {
  const Answer expected = plain_answer(batch);
  NestedContrast contrast = batch.contrast();
  contrast.bfloat16 = bfloat16;
  for (const CpuLevel level : testing::cpu_levels()) {
    std::vector<float> d_queries(batch.queries.size(), 7.0F);
    std::vector<float> d_candidates(batch.candidates.size(), 7.0F);
    const double loss =
        nested_info_nce(contrast, level, 2, pool, d_queries.data(), d_candidates.data());
    double weights = 0.0;
    for (const float weight : batch.weights) weights += double{weight};
    CHECK(std::abs(loss - expected.loss) <
          tolerance * weights * (1.0 + 1.0 / double{batch.temperature}));
    CHECK(worst(batch, d_queries, expected.d_queries) < tolerance);
    CHECK(worst(batch, d_candidates, expected.d_candidates) < tolerance);
  }
}

TEST_CASE(loss_and_gradients_are_those_of_plain_loops_at_every_shape) {
  Random random(1);
  for (std::size_t round = 0; round < testing::rounds(24); ++round) {
    const std::size_t n_queries = 1 + random.below(40);
    const std::size_t dim = 1 + random.below(70);
    std::vector<std::size_t> lengths;
    for (std::size_t d = 1; d <= dim; ++d) {
      if (random.one_in(12) || (d == dim && lengths.empty())) lengths.push_back(d);
    }
    Batch batch(n_queries, n_queries + random.below(50), dim, lengths, random);
    batch.both = random.one_in(2);
    batch.temperature = random.one_in(2) ? 0.05F : 1.0F;
    if (random.one_in(2)) batch.add_keys(random);
    check_batch(batch, 1e-5, false);
    check_batch(batch, 2e-2, true);
  }
}

TEST_CASE(many_blocks_of_queries_are_one_batch) {
  Random random(2);
  Batch batch(800, 900, 24, {8, 24}, random);
  check_batch(batch, 1e-5, false);
  check_batch(batch, 2e-2, true);
  batch.both = true;
  check_batch(batch, 1e-5, false);
}

TEST_CASE(the_number_of_threads_changes_no_bit) {
  Random random(3);
  Batch batch(500, 520, 64, {16, 64}, random);
  batch.both = true;
  batch.add_keys(random);
  for (const bool bfloat16 : {false, true}) {
    NestedContrast contrast = batch.contrast();
    contrast.bfloat16 = bfloat16;
    for (const CpuLevel level : testing::cpu_levels()) {
      std::vector<float> first;
      for (const std::size_t n_threads : std::vector<std::size_t>{1, 2, 5}) {
        std::vector<float> both(batch.queries.size() + batch.candidates.size() + 1);
        both.back() = static_cast<float>(nested_info_nce(
            contrast, level, n_threads, pool, both.data(), both.data() + batch.queries.size()));
        if (first.empty()) first = both;
        CHECK(both == first);
      }
    }
  }
}

TEST_CASE(vectors_of_zeros_and_unused_dimensions_have_no_gradient) {
  Random random(4);
  Batch batch(5, 7, 40, {9, 33}, random);
  std::fill_n(batch.queries.begin() + 40, 40, 0.0F);
  std::fill_n(batch.candidates.begin() + 2 * 40, 40, 0.0F);
  check_batch(batch, 1e-5, false);
  std::vector<float> d_queries(5 * 40, 7.0F);
  std::vector<float> d_candidates(7 * 40, 7.0F);
  nested_info_nce(batch.contrast(), best_cpu_level(), 1, pool, d_queries.data(),
                  d_candidates.data());
  for (std::size_t i = 0; i < 7; ++i) {
    for (std::size_t d = 33; d < 40; ++d) CHECK(d_candidates[i * 40 + d] == 0.0F);
  }
  for (std::size_t d = 0; d < 40; ++d) {
    CHECK(d_queries[40 + d] == 0.0F);
    CHECK(d_candidates[80 + d] == 0.0F);
  }
}

TEST_CASE(small_temperatures_neither_overflow_nor_vanish) {
  Random random(5);
  Batch batch(30, 45, 33, {5, 33}, random);
  for (const float temperature : {0.002F, 0.01F, 100.0F}) {
    batch.temperature = temperature;
    for (const bool both : {false, true}) {
      batch.both = both;
      check_batch(batch, 2e-4, false);
    }
  }
}

TEST_CASE(gradients_of_a_batch_that_is_learnt_keep_their_digits) {
  Random random(9);
  Batch batch(60, 90, 96, {32, 96}, random);
  for (const bool hard_negatives : {false, true}) {
    batch.n_candidates = hard_negatives ? 90 : 60;
    batch.candidates.resize(batch.n_candidates * batch.dim);
    for (float& x : batch.candidates) x = away_from_zero(random);
    for (std::size_t i = 0; i < batch.queries.size(); ++i) {
      batch.candidates[i] = batch.queries[i] + 0.1F * random.uniform();
    }
    for (const bool both : {false, true}) {
      batch.both = both;
      // p - 1 is about 1e-4, 1e-12 and 1e-24
      for (const float temperature : {0.1F, 0.03F, 0.015F}) {
        batch.temperature = temperature;
        const Answer expected = plain_answer(batch);
        for (const CpuLevel level : testing::cpu_levels()) {
          std::vector<float> d_queries(batch.queries.size());
          std::vector<float> d_candidates(batch.candidates.size());
          nested_info_nce(batch.contrast(), level, 2, pool, d_queries.data(), d_candidates.data());
          CHECK(worst_row(d_queries, expected.d_queries, batch.dim) < 1e-4);
          CHECK(worst_row(d_candidates, expected.d_candidates, batch.dim) < 1e-4);
        }
      }
    }
  }
}

TEST_CASE(pairs_without_negatives_have_nothing_to_learn) {
  Random random(6);
  std::vector<Batch> batches = {Batch(1, 1, 8, {4, 8}, random), Batch(40, 70, 50, {9, 50}, random),
                                Batch(200, 200, 50, {9, 50}, random)};
  for (Batch& batch : batches) {
    batch.query_keys.assign(batch.n_queries, 1);
    batch.candidate_keys.assign(batch.n_candidates, 1);
    for (const bool both : {false, true}) {
      batch.both = both;
      for (const bool bfloat16 : {false, true}) {
        NestedContrast contrast = batch.contrast();
        contrast.bfloat16 = bfloat16;
        for (const CpuLevel level : testing::cpu_levels()) {
          std::vector<float> d_queries(batch.queries.size(), 7.0F);
          std::vector<float> d_candidates(batch.candidates.size(), 7.0F);
          CHECK_EQ(nested_info_nce(contrast, level, 2, pool, d_queries.data(), d_candidates.data()),
                   0.0);
          const auto zero = [](float x) { return x == 0.0F; };
          CHECK(std::ranges::all_of(d_queries, zero));
          CHECK(std::ranges::all_of(d_candidates, zero));
        }
      }
    }
  }
}

TEST_CASE(vectors_too_long_for_their_products_are_not_numbers) {
  Random random(10);
  Batch batch(6, 9, 12, {4, 12}, random);
  const Answer expected = plain_answer(batch);
  const float factor = 2e17F;  // times about 2.5, the length of a vector
  for (auto* const vectors : {&batch.queries, &batch.candidates}) {
    for (float& x : *vectors) x *= factor;
  }
  std::vector<float> d_queries(batch.queries.size());
  std::vector<float> d_candidates(batch.candidates.size());
  const double loss = nested_info_nce(batch.contrast(), CpuLevel::kBaseline, 1, pool,
                                      d_queries.data(), d_candidates.data());
  CHECK(std::abs(loss - expected.loss) < 1e-4);
  for (const float length : {1e18F, 1e20F, 1e30F, std::numeric_limits<float>::infinity()}) {
    for (auto* const vectors : {&batch.queries, &batch.candidates}) {
      const float before = std::exchange((*vectors)[50], 2.0F * length);
      for (const CpuLevel level : testing::cpu_levels()) {
        CHECK(std::isnan(nested_info_nce(batch.contrast(), level, 1, pool, d_queries.data(),
                                         d_candidates.data())));
      }
      (*vectors)[50] = before;
    }
  }
}

TEST_CASE(what_is_not_a_number_stays_visible) {
  Random random(7);
  Batch batch(4, 4, 8, {8}, random);
  batch.candidates[17] = std::numeric_limits<float>::quiet_NaN();
  for (const CpuLevel level : testing::cpu_levels()) {
    std::vector<float> d_queries(32);
    std::vector<float> d_candidates(32);
    nested_info_nce(batch.contrast(), level, 1, pool, d_queries.data(), d_candidates.data());
    CHECK(std::ranges::any_of(d_queries, [](float x) { return std::isnan(x); }));
  }
}

TEST_CASE(shapes_and_settings_that_do_not_fit_are_refused) {
  Random random(8);
  const Batch good(3, 4, 8, {4, 8}, random);
  std::vector<float> out(32);
  const auto refused = [&](const auto& spoil) {
    NestedContrast contrast = good.contrast();
    spoil(contrast);
    CHECK_THROWS(nested_info_nce(contrast, CpuLevel::kBaseline, 1, pool, out.data(), out.data()),
                 std::invalid_argument);
  };
  const std::vector<std::size_t> falling = {8, 4};
  const std::vector<std::size_t> long_one = {4, 9};
  const std::vector<std::int64_t> keys(4);
  refused([](NestedContrast& c) { c.queries.n_rows = 0; });
  refused([](NestedContrast& c) { c.candidates.n_rows = 2; });
  refused([](NestedContrast& c) { c.candidates.dim = 7; });
  refused([&](NestedContrast& c) { c.lengths = falling; });
  refused([&](NestedContrast& c) { c.lengths = long_one; });
  refused([](NestedContrast& c) { c.lengths = {}; });
  refused([](NestedContrast& c) { c.weights = c.weights.first(1); });
  refused([](NestedContrast& c) { c.temperature = 0.0F; });
  refused([&](NestedContrast& c) { c.query_keys = keys; });
}

}  // namespace
