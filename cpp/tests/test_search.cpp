// Search against plain loops and a sort, at every level: values of any bits, rows that end where
// memory ends, masks, candidates, threads.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "check.hpp"
#include "random_text.hpp"
#include "vecsmith/search.hpp"

namespace {

using namespace vecsmith;
using testing::Random;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float half_value(std::uint16_t half) {
  const auto exponent = static_cast<int>(half >> 10U & 0x1FU);
  const auto fraction = static_cast<float>(half & 0x3FFU);
  float x = std::ldexp(fraction + (exponent == 0 ? 0.0F : 1024.0F), std::max(exponent, 1) - 25);
  if (exponent == 31) x = fraction == 0.0F ? kInfinity : std::nanf("");
  return half >> 15U != 0 ? -x : x;
}

std::size_t bytes_of(VectorType type, std::size_t dim) {
  if (type == VectorType::kBits) return (dim + 7) / 8;
  return dim * (type == VectorType::kFloat32 ? 4 : type == VectorType::kFloat16 ? 2 : 1);
}

// What rows are filled with: numbers whose sums are exact and often equal, numbers of ordinary
// size, or any bits at all.
enum class Filling { kWhole, kOrdinary, kAnything };

float number(Filling filling, Random& random) {
  if (filling == Filling::kAnything && random.one_in(4)) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(random.bits()));
  }
  if (filling == Filling::kWhole) return static_cast<float>(random.below(7)) - 3.0F;
  return random.uniform() * std::ldexp(1.0F, static_cast<int>(random.below(24)) - 12);
}

std::vector<float> numbers(std::size_t n, Filling filling, Random& random) {
  std::vector<float> made(n);
  for (float& x : made) x = number(filling, random);
  return made;
}

// Rows that end where memory ends.
class Rows {
 public:
  Rows(VectorType type, std::size_t n, std::size_t dim, Filling filling, Random& random)
      : n_bytes_(bytes_of(type, dim)),
        stride_(n_bytes_ + (random.one_in(2) ? 0 : random.below(70))),
        memory_(n == 0 ? 0 : (n - 1) * stride_ + n_bytes_) {
    view_.type = type;
    view_.n_rows = n;
    view_.dim = dim;
    view_.stride = stride_;
    view_.values = memory_.data();
    for (std::size_t i = 0; i < n; ++i) fill(memory_.data() + i * stride_, filling, random);
    if (!random.one_in(3)) {
      factors_ = numbers(n, filling, random);
      view_.factors = factors_.data();
    }
    if (!random.one_in(3)) {
      offsets_ = numbers(n, filling, random);
      view_.offsets = offsets_.data();
    }
  }

  const SearchedRows& view() const { return view_; }

  // The score as search.hpp has it.
  float score(const float* query, std::size_t row) const {
    float score = dot(query, memory_.data() + row * stride_);
    if (view_.factors != nullptr) score = score * view_.factors[row];
    if (view_.offsets != nullptr) score = score + view_.offsets[row];
    return score + 0.0F;
  }

 private:
  void fill(unsigned char* row, Filling filling, Random& random) const {
    for (std::size_t b = 0; b < n_bytes_; ++b) row[b] = static_cast<unsigned char>(random.bits());
    if (view_.type == VectorType::kFloat32) {
      const std::vector<float> values = numbers(view_.dim, filling, random);
      std::memcpy(row, values.data(), n_bytes_);
    }
    if (view_.type == VectorType::kFloat16 && filling != Filling::kAnything) {
      for (std::size_t j = 0; j < view_.dim; ++j) row[2 * j + 1] &= 0xBFU;  // below 2
    }
  }

  float dot(const float* query, const unsigned char* row) const {
    switch (view_.type) {
      case VectorType::kInt8:
        return dot_whole(query, row);
      case VectorType::kBits:
        return dot_bits(query, row);
      default:
        return dot_float(query, row);
    }
  }

  float dot_float(const float* query, const unsigned char* row) const {
    float sums[16] = {};
    for (std::size_t j = 0; j < (view_.dim + 15) / 16 * 16; ++j) {
      float x = 0.0F;
      std::uint16_t half = 0;
      if (j < view_.dim && view_.type == VectorType::kFloat32) std::memcpy(&x, row + 4 * j, 4);
      if (j < view_.dim && view_.type == VectorType::kFloat16) {
        std::memcpy(&half, row + 2 * j, 2);
        x = half_value(half);
      }
      sums[j % 16] = std::fma(j < view_.dim ? query[j] : 0.0F, x, sums[j % 16]);
    }
    for (const std::size_t half : std::vector<std::size_t>{8, 4, 2, 1}) {
      for (std::size_t k = 0; k < half; ++k) sums[k] += sums[k + half];
    }
    return sums[0];
  }

  float dot_whole(const float* query, const unsigned char* row) const {
    double most = 0.0;
    for (std::size_t j = 0; j < view_.dim; ++j) {
      if (!std::isfinite(query[j])) return std::nanf("");
      most = std::max(most, std::abs(double{query[j]}));
    }
    if (most == 0.0) return 0.0F;
    std::int64_t sum = 0;
    for (std::size_t j = 0; j < view_.dim; ++j) {
      const double level = std::nearbyint(double{query[j]} * (127.0 / most));
      sum += static_cast<std::int64_t>(level) * static_cast<std::int8_t>(row[j]);
    }
    return static_cast<float>(sum) * static_cast<float>(most / 127.0);
  }

  float dot_bits(const float* query, const unsigned char* row) const {
    int sum = 0;
    for (std::size_t j = 0; j < view_.dim; ++j) {
      const bool bit = (row[j / 8] >> (j % 8) & 1U) != 0;
      sum += bit == (query[j] > 0.0F) ? 1 : -1;
    }
    return static_cast<float>(sum);
  }

  std::size_t n_bytes_;
  std::size_t stride_;
  mutable testing::GuardedBytes memory_;
  std::vector<float> factors_;
  std::vector<float> offsets_;
  SearchedRows view_;
};

struct Found {
  std::vector<std::int64_t> places;
  std::vector<std::uint32_t> scores;  // as bits

  bool operator==(const Found&) const = default;
};

// The k best by sorting all.
Found sorted(const Rows& rows, const std::vector<float>& queries, std::size_t stride,
             const std::vector<std::vector<std::size_t>>& of_query, std::size_t k) {
  Found found;
  for (std::size_t q = 0; q < of_query.size(); ++q) {
    std::vector<std::pair<float, std::size_t>> all;
    for (const std::size_t row : of_query[q]) {
      const float score = rows.score(queries.data() + q * stride, row);
      if (score > -kInfinity) all.emplace_back(-score, row);
    }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    for (std::size_t i = 0; i < k; ++i) {
      const bool is_there = i < all.size();
      found.places.push_back(is_there ? static_cast<std::int64_t>(all[i].second) : -1);
      const float score = is_there ? -all[i].first + 0.0F : -kInfinity;
      found.scores.push_back(std::bit_cast<std::uint32_t>(score));
    }
  }
  return found;
}

template <typename Search>
Found found_by(std::size_t n_queries, std::size_t k, const Search& search) {
  Found found;
  found.places.assign(n_queries * k, 77);
  std::vector<float> scores(n_queries * k, 77.0F);
  search(SearchResults{found.places.data(), scores.data(), k});
  for (const float score : scores) found.scores.push_back(std::bit_cast<std::uint32_t>(score));
  return found;
}

std::vector<std::size_t> all_of(std::size_t n, const std::vector<std::uint8_t>& allowed) {
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < n; ++i) {
    if (allowed.empty() || allowed[i] != 0) rows.push_back(i);
  }
  return rows;
}

constexpr VectorType kTypes[] = {VectorType::kFloat32, VectorType::kFloat16, VectorType::kInt8,
                                 VectorType::kBits};

void check_search(VectorType type, Filling filling, Random& random) {
  const std::size_t dim = 1 + random.below(random.one_in(3) ? 600 : 80);
  const std::size_t n = random.below(random.one_in(8) ? 1500 : 90);
  const std::size_t n_queries = 1 + random.below(random.one_in(2) ? 4 : 40);
  const std::size_t k = 1 + random.below(random.one_in(2) ? 12 : 200);
  const std::size_t stride = dim + random.below(5);
  const Rows rows(type, n, dim, filling, random);
  const Filling ordinary = filling == Filling::kAnything ? Filling::kOrdinary : filling;
  const std::vector<float> queries =
      numbers(n_queries * stride, random.one_in(6) ? filling : ordinary, random);
  std::vector<std::uint8_t> allowed;
  if (random.one_in(2)) {
    const std::size_t rare = 1 + random.below(9);
    const bool most = random.one_in(2);
    for (std::size_t i = 0; i < n; ++i) {
      allowed.push_back(random.one_in(rare) != most ? static_cast<std::uint8_t>(1 + i % 255) : 0);
    }
  }
  const std::vector<std::vector<std::size_t>> of_query(n_queries, all_of(n, allowed));
  const Found expected = sorted(rows, queries, stride, of_query, k);
  for (const CpuLevel level : testing::cpu_levels()) {
    const std::size_t n_threads = 1 + random.below(3);
    const Found found = found_by(n_queries, k, [&](const SearchResults& out) {
      top_k({queries.data(), n_queries, stride}, rows.view(),
            allowed.empty() ? nullptr : allowed.data(), level, n_threads, out);
    });
    CHECK(found.places == expected.places);
    CHECK(found.scores == expected.scores);
  }
}

TEST_CASE(search_finds_what_a_sort_of_all_scores_puts_first_to_the_bit) {
  Random random(21);
  for (std::size_t i = 0; i < testing::rounds(60); ++i) {
    for (const VectorType type : kTypes) {
      check_search(type, Filling::kWhole, random);
      check_search(type, Filling::kOrdinary, random);
      check_search(type, Filling::kAnything, random);
    }
  }
}

TEST_CASE(candidates_are_scored_as_in_a_search_of_all_and_count_once) {
  Random random(22);
  for (std::size_t i = 0; i < testing::rounds(60); ++i) {
    for (const VectorType type : kTypes) {
      const std::size_t dim = 1 + random.below(300);
      const std::size_t n = 1 + random.below(60);
      const std::size_t n_queries = 1 + random.below(20);
      const std::size_t n_candidates = random.below(80);
      const Rows rows(type, n, dim, random.one_in(2) ? Filling::kWhole : Filling::kAnything,
                      random);
      const std::vector<float> queries = numbers(n_queries * dim, Filling::kOrdinary, random);
      std::vector<std::int64_t> candidates;
      std::vector<std::vector<std::size_t>> of_query(n_queries);
      for (std::size_t q = 0; q < n_queries; ++q) {
        for (std::size_t c = 0; c < n_candidates; ++c) {
          candidates.push_back(static_cast<std::int64_t>(random.below(n + 1)) - 1);
          if (candidates.back() >= 0)
            of_query[q].push_back(static_cast<std::size_t>(candidates.back()));
        }
      }
      const std::size_t k = 1 + random.below(100);
      const Found expected = sorted(rows, queries, dim, of_query, k);
      for (const CpuLevel level : testing::cpu_levels()) {
        const Found found = found_by(n_queries, k, [&](const SearchResults& out) {
          rescore({queries.data(), n_queries, dim}, rows.view(), candidates.data(), n_candidates,
                  level, 2, out);
        });
        CHECK(found == expected);
      }
    }
  }
}

TEST_CASE(many_rows_on_many_threads_give_what_one_thread_gives) {
  Random random(23);
  const std::size_t n = 40000;
  for (const VectorType type : kTypes) {
    const Rows rows(type, n, 64, Filling::kWhole, random);
    const std::vector<float> queries = numbers(std::size_t{20} * 64, Filling::kWhole, random);
    for (const std::size_t n_queries : std::vector<std::size_t>{1, 3, 20}) {
      const auto search = [&](std::size_t n_threads) {
        return found_by(n_queries, 300, [&](const SearchResults& out) {
          top_k({queries.data(), n_queries, 64}, rows.view(), nullptr, best_cpu_level(), n_threads,
                out);
        });
      };
      CHECK(search(4) == search(1));
    }
  }
}

TEST_CASE(squares_of_prefixes_are_dot_products_with_themselves) {
  Random random(24);
  const std::vector<std::size_t> dims = {1, 8, 16, 17, 100};
  for (const VectorType type : {VectorType::kFloat32, VectorType::kFloat16}) {
    const Rows rows(type, 300, 100, Filling::kOrdinary, random);
    std::vector<float> first;
    for (const CpuLevel level : testing::cpu_levels()) {
      std::vector<float> squares(dims.size() * 300);
      prefix_squares(rows.view(), dims, level, 2, squares.data());
      if (first.empty()) first = squares;
      CHECK(squares == first);
    }
    for (std::size_t i = 0; i < dims.size(); ++i) {
      for (std::size_t row = 0; row < 300; ++row) {
        double sum = 0.0;
        const auto* const at =
            static_cast<const unsigned char*>(rows.view().values) + row * rows.view().stride;
        for (std::size_t j = 0; j < dims[i]; ++j) {
          float x = 0.0F;
          std::uint16_t half = 0;
          std::memcpy(&x, at + 4 * j, type == VectorType::kFloat32 ? 4 : 0);
          std::memcpy(&half, at + 2 * j, 2);
          const double value = type == VectorType::kFloat32 ? double{x} : double{half_value(half)};
          sum += value * value;
        }
        CHECK(std::abs(double{first[i * 300 + row]} - sum) <= 1e-6 * sum);
      }
    }
  }
}

TEST_CASE(int8_sums_of_the_longest_rows_do_not_overflow) {
  const std::vector<std::int8_t> row(kMostSearchDims, -128);
  const std::vector<float> query(5 * kMostSearchDims, 1.0F);
  SearchedRows rows;
  rows.values = row.data();
  rows.type = VectorType::kInt8;
  rows.n_rows = 1;
  rows.dim = kMostSearchDims;
  rows.stride = kMostSearchDims;
  const float expected =
      static_cast<float>(-128.0 * 127.0 * 65536.0) * static_cast<float>(1.0 / 127.0);
  for (const CpuLevel level : testing::cpu_levels()) {
    for (const std::size_t n : std::vector<std::size_t>{1, 5}) {
      std::vector<float> scores(n);
      std::vector<std::int64_t> places(n);
      top_k({query.data(), n, kMostSearchDims}, rows, nullptr, level, 1,
            {places.data(), scores.data(), 1});
      CHECK(scores == std::vector<float>(n, expected));
    }
  }
}

TEST_CASE(what_cannot_be_searched_is_refused) {
  const std::vector<float> values(64, 1.0F);
  std::vector<std::int64_t> places(8);
  std::vector<float> scores(8);
  const SearchQueries queries{values.data(), 2, 8};
  SearchedRows rows{values.data(), VectorType::kFloat32, 4, 8, 32};
  const auto search = [&](std::size_t k) {
    top_k(queries, rows, nullptr, best_cpu_level(), 1, {places.data(), scores.data(), k});
  };
  CHECK_THROWS(search(0), std::invalid_argument);
  rows.stride = 31;
  CHECK_THROWS(search(1), std::invalid_argument);
  rows.stride = 32;
  for (const std::size_t dim : std::vector<std::size_t>{0, 9, kMostSearchDims + 1}) {
    rows.dim = dim;
    CHECK_THROWS(search(1), std::invalid_argument);
  }
  rows.dim = 8;
  rows.n_rows = std::size_t{1} << 32U;
  CHECK_THROWS(search(1), std::invalid_argument);
  rows.n_rows = 4;
  for (const std::int64_t wrong : std::vector<std::int64_t>{-2, 4, std::int64_t{1} << 40U}) {
    const std::vector<std::int64_t> candidates = {0, wrong};
    CHECK_THROWS(rescore(queries, rows, candidates.data(), 1, best_cpu_level(), 1,
                         {places.data(), scores.data(), 1}),
                 std::out_of_range);
  }
  const std::vector<std::size_t> falling = {4, 4};
  CHECK_THROWS(prefix_squares(rows, falling, best_cpu_level(), 1, scores.data()),
               std::invalid_argument);
}

}  // namespace
