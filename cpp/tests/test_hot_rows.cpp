// Copied rows: the same values at other places, and sums that keep their bits.

#include <algorithm>
#include <cstdint>
#include <set>
#include <thread>
#include <vector>

#include "check.hpp"
#include "hot_rows.hpp"
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
  hot.count(frequent_ids(random, 1000));
  CHECK(hot.addresses() == nullptr);
  hot.count(frequent_ids(random, 900'000));
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
