// Working memory that is kept for the next use.

#include <cstdint>
#include <limits>
#include <new>
#include <thread>
#include <vector>

#include "check.hpp"
#include "random_text.hpp"
#include "vecsmith/memory_pool.hpp"

namespace {

using namespace vecsmith;

TEST_CASE(what_is_given_back_is_given_out_again) {
  MemoryPool pool;
  const auto first = pool.take(5000);
  pool.give(first);
  const auto second = pool.take(4000);
  CHECK(second.memory == first.memory);
  const auto other = pool.take(4000);
  CHECK(other.memory != second.memory);
  pool.give(second);
  pool.give(other);
  const auto small = pool.take(64);  // a far larger block would be wasted on it
  CHECK(small.memory != first.memory && small.memory != other.memory);
  pool.give(small);
}

TEST_CASE(memory_is_aligned_and_large_enough) {
  MemoryPool pool;
  for (const std::size_t n : std::vector<std::size_t>{0, 1, 63, 64, 65, 1 << 20, 5 << 20}) {
    const auto block = pool.take(n);
    CHECK(block.n_bytes >= n);
    CHECK_EQ(reinterpret_cast<std::uintptr_t>(block.memory) % 64, 0U);
    static_cast<char*>(block.memory)[0] = 1;
    if (n > 0) static_cast<char*>(block.memory)[n - 1] = 1;
    pool.give(block);
  }
  CHECK_THROWS(pool.take(std::numeric_limits<std::size_t>::max()), std::bad_alloc);
}

TEST_CASE(many_threads_share_one_pool) {
  MemoryPool pool;
  std::vector<std::thread> threads;
  std::vector<std::size_t> wrong(4);
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, &wrong, t] {
      testing::Random random(t);
      for (std::size_t round = 0; round < 500; ++round) {
        PooledArray<std::size_t> array(pool, 1 + random.below(300));
        for (std::size_t i = 0; i < array.size(); ++i) array.data()[i] = t * 1000 + i;
        for (std::size_t i = 0; i < array.size(); ++i) {
          wrong[t] += static_cast<std::size_t>(array.data()[i] != t * 1000 + i);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::size_t count : wrong) CHECK_EQ(count, 0U);
}

}  // namespace
