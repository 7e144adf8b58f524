// Slices handed to threads.

#include <atomic>
#include <cstddef>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "vecsmith/parallel.hpp"

namespace {

using namespace vecsmith;

TEST_CASE(every_index_is_visited_once_whatever_the_slices_and_threads) {
  for (const std::size_t n : std::vector<std::size_t>{1, 2, 7, 100, 1000}) {
    for (const std::size_t slice : std::vector<std::size_t>{0, 1, 3, 100, 5000}) {
      for (const std::size_t n_threads : std::vector<std::size_t>{0, 1, 2, 3, 8}) {
        std::vector<std::atomic<int>> visits(n);
        parallel_for(n, slice, n_threads, [&](std::size_t begin, std::size_t end) {
          CHECK(begin < end && end <= n);
          for (std::size_t i = begin; i < end; ++i) ++visits[i];
        });
        for (const auto& count : visits) {
          if (count != 1) CHECK_EQ(count.load(), 1);
        }
      }
    }
  }
}

TEST_CASE(nothing_to_do_calls_nothing) {
  parallel_for(0, 10, 4, [](std::size_t, std::size_t) { throw std::logic_error("called"); });
}

TEST_CASE(one_thread_is_the_callers_own) {
  const auto caller = std::this_thread::get_id();
  parallel_for(10, 1, 1,
               [&](std::size_t, std::size_t) { CHECK(std::this_thread::get_id() == caller); });
}

TEST_CASE(no_more_threads_run_than_asked_or_than_there_are_slices) {
  for (const std::size_t n_threads : std::vector<std::size_t>{2, 3, 64}) {
    std::mutex lock;
    std::set<std::thread::id> seen;
    parallel_for(3, 1, n_threads, [&](std::size_t, std::size_t) {
      const std::scoped_lock held(lock);
      seen.insert(std::this_thread::get_id());
    });
    CHECK(seen.size() <= 3 && seen.size() <= n_threads);
  }
}

TEST_CASE(an_exception_reaches_the_caller_and_stops_the_others) {
  for (const std::size_t n_threads : std::vector<std::size_t>{1, 4}) {
    std::atomic<int> calls = 0;
    std::string message;
    try {
      parallel_for(100'000, 1, n_threads, [&](std::size_t begin, std::size_t) {
        ++calls;
        if (begin == 5) throw std::out_of_range("item 5");
      });
    } catch (const std::out_of_range& error) {
      message = error.what();
    }
    CHECK_EQ(message, "item 5");
    CHECK(calls.load() <= 100'000);
  }
}

TEST_CASE(of_many_exceptions_one_arrives) {
  CHECK_THROWS(
      parallel_for(64, 1, 8, [](std::size_t, std::size_t) { throw std::runtime_error("x"); }),
      std::runtime_error);
}

}  // namespace
