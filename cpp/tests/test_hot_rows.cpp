// Copied rows: the same values at other places, and sums that keep their bits.

#include <algorithm>
#include <cstdint>
#include <set>
#include <thread>
#include <vector>

#include "check.hpp"
#include "hot_rows.hpp"
#include "kernels/kernels.hpp"
#include "random_text.hpp"
#include "vecsmith/pool.hpp"

namespace {

using namespace vecsmith;
using testing::Random;

constexpr std::size_t kDim = 64;
constexpr std::size_t kRows = 140'000;  // 36 MB: more than are ever copied

std::vector<float> some_rows(Random& random) {
  std::vector<float> rows(kRows * kDim);
  for (float& x : rows) x = random.uniform();
  return rows;
}

TableView view_of(const std::vector<float>& rows) {
  return {.rows = rows.data(), .n_rows = kRows, .dim = kDim, .n_tokens = kRows};
}

// Ids of which small ones are frequent, but for the last row, which is the most frequent of all.
std::vector<std::uint32_t> frequent_ids(Random& random, std::size_t n) {
  std::vector<std::uint32_t> ids(n);
  for (std::uint32_t& id : ids) {
    id = random.one_in(3) ? kRows - 1
                          : static_cast<std::uint32_t>(random.below(1 + random.below(kRows)));
  }
  return ids;
}

TEST_CASE(rows_are_copied_once_enough_tokens_are_counted_and_only_the_frequent_ones) {
  Random random(1);
  const std::vector<float> rows = some_rows(random);
  HotRows hot(view_of(rows));
  CHECK(hot.addresses() == nullptr);
  hot.count(frequent_ids(random, 1000), 100);
  CHECK(hot.addresses() == nullptr);
  hot.count(frequent_ids(random, 900'000), 90'000);
  const void* const* const addresses = hot.addresses();
  CHECK(addresses != nullptr);
  std::set<const void*> places;
  std::size_t n_copied = 0;
  for (std::size_t i = 0; i < kRows; ++i) {
    const auto* const row = static_cast<const float*>(addresses[i]);
    CHECK(std::equal(row, row + kDim, rows.data() + i * kDim));
    const bool is_copied = addresses[i] != rows.data() + i * kDim;
    n_copied += static_cast<std::size_t>(is_copied);
    if (is_copied) CHECK_EQ(reinterpret_cast<std::uintptr_t>(addresses[i]) % 64, std::uintptr_t{0});
    places.insert(addresses[i]);
  }
  CHECK_EQ(places.size(), kRows);
  CHECK(n_copied > kRows / 2 && n_copied < kRows);
  CHECK(addresses[kRows - 1] != rows.data() + (kRows - 1) * kDim);
}

TEST_CASE(rows_of_small_tables_are_cut_where_texts_are_long) {
  Random random(3);
  constexpr std::size_t kColumns = 2 * kernels::kPiece + 8;
  constexpr std::size_t n_rows = 1000;
  std::vector<float> rows(n_rows * kColumns);
  for (float& x : rows) x = random.uniform();
  const TableView view{.rows = rows.data(), .n_rows = n_rows, .dim = kColumns, .n_tokens = n_rows};
  std::vector<std::uint32_t> ids(600'000);
  for (std::uint32_t& id : ids) id = static_cast<std::uint32_t>(random.below(n_rows / 2));
  HotRows of_short_texts(view);
  of_short_texts.count(ids, ids.size() / (HotRows::kTokensWorthPieces - 1));
  CHECK(of_short_texts.addresses() != nullptr);
  CHECK_EQ(of_short_texts.apart(), std::size_t{0});
  HotRows hot(view);
  hot.count(ids, ids.size() / HotRows::kTokensWorthPieces);
  CHECK_EQ(hot.apart(), n_rows * kernels::kPiece);
  for (std::size_t i = 0; i < n_rows; ++i) {
    const auto* const row = static_cast<const float*>(hot.addresses()[i]);
    for (std::size_t j = 0; j < kColumns; ++j) {
      CHECK(row[j / kernels::kPiece * hot.apart() + j % kernels::kPiece] == rows[i * kColumns + j]);
    }
  }
}

// Texts of any length, by every level, over numbers of columns that end within pieces.
TEST_CASE(vectors_keep_their_bits_when_rows_are_cut) {
  Random random(4);
  constexpr std::size_t kColumns = 4 * kernels::kPiece + 8;
  constexpr std::size_t n_rows = 500;
  std::vector<float> rows(n_rows * kColumns);
  for (float& x : rows) x = random.uniform();
  std::vector<float> weights(n_rows);
  for (float& x : weights) x = random.uniform();
  std::vector<std::uint32_t> ids;
  std::vector<std::size_t> ends;
  while (ids.size() < 600'000) {
    for (std::size_t n = random.below(1 + random.below(500)); n > 0; --n) {
      ids.push_back(static_cast<std::uint32_t>(random.below(n_rows)));
    }
    ends.push_back(ids.size());
  }
  for (const bool is_weighted : {false, true}) {
    TableView view{.rows = rows.data(), .n_rows = n_rows, .dim = kColumns, .n_tokens = n_rows};
    if (is_weighted) view.weights = weights.data();
    for (const CpuLevel level : testing::cpu_levels()) {
      Pooler::Scratch scratch;
      const Pooler pooler(view, level);
      const auto pooled = [&](const Pooler& by, const Pooling& pooling) {
        std::vector<float> out(ends.size() * pooling.dim);
        by.pool(ids, ends, pooling, scratch, out.data());
        return out;
      };
      pooled(pooler, {.dim = kColumns});  // counts and copies
      for (const std::size_t dim : {kColumns, kColumns - 9, kernels::kPiece, std::size_t{3}}) {
        const Pooling pooling{.dim = dim, .normalize = dim % 2 == 0};
        const std::vector<float> expected = pooled(Pooler(view, level), pooling);
        CHECK(pooled(pooler, pooling) == expected);
        for (std::size_t i = 1; i < 200; ++i) {  // each by itself, so that short ones are short
          const std::size_t n = ends[i] - ends[i - 1];
          std::vector<float> one(dim);
          pooler.pool(std::span(ids).subspan(ends[i - 1], n), {&n, 1}, pooling, scratch,
                      one.data());
          CHECK(std::ranges::equal(one, std::span(expected).subspan(i * dim, dim)));
        }
      }
    }
  }
}

TEST_CASE(vectors_keep_their_bits_while_rows_are_copied_under_several_threads) {
  Random random(2);
  const std::vector<float> rows = some_rows(random);
  const Pooler pooler(view_of(rows));
  const std::vector<std::uint32_t> ids = frequent_ids(random, 90'000);
  std::vector<std::size_t> ends;
  for (std::size_t end = 10; end <= ids.size(); end += 10) ends.push_back(end);
  const auto vectors = [&] {
    Pooler::Scratch scratch;
    std::vector<float> out(ends.size() * kDim);
    pooler.pool(ids, ends, {.dim = kDim, .normalize = true}, scratch, out.data());
    return out;
  };
  const std::vector<float> first = vectors();
  std::vector<std::vector<float>> found(8);
  std::vector<std::thread> threads;
  threads.reserve(found.size());
  for (auto& out : found) {
    threads.emplace_back([&] { out = vectors(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& out : found) CHECK(out == first);
  CHECK(vectors() == first);
}

}  // namespace
