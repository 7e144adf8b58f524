#include "vecsmith/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace vecsmith {

void parallel_for(std::size_t n_items, std::size_t slice, std::size_t n_threads,
                  const std::function<void(std::size_t begin, std::size_t end)>& work) {
  if (n_items == 0) return;
  slice = std::max<std::size_t>(slice, 1);
  const std::size_t n_slices = (n_items + slice - 1) / slice;
  n_threads = std::clamp<std::size_t>(n_threads, 1, n_slices);

  std::atomic<std::size_t> next{0};
  std::mutex failure_lock;
  std::exception_ptr failure;
  const auto run = [&] {
    try {
      for (std::size_t i = next.fetch_add(1); i < n_slices; i = next.fetch_add(1)) {
        work(i * slice, std::min(n_items, (i + 1) * slice));
      }
    } catch (...) {
      next.store(n_slices);  // the others stop at their next slice
      const std::scoped_lock lock(failure_lock);
      if (!failure) failure = std::current_exception();
    }
  };

  // Not std::jthread: libc++ has it only since LLVM 20.
  std::vector<std::thread> threads;
  threads.reserve(n_threads - 1);
  try {
    for (std::size_t i = 1; i < n_threads; ++i) threads.emplace_back(run);
  } catch (...) {
    // A system at its limit of threads or memory still gets its answer, from the threads there are.
  }
  run();
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace vecsmith
