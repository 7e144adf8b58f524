#include "vecsmith/memory_pool.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace vecsmith {

namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kHuge = std::size_t{2} << 20;
constexpr std::size_t kMostIdle = 64;  // blocks; the oldest go first

std::size_t rounded_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

MemoryPool::Block MemoryPool::take(std::size_t n_bytes) {
  const std::size_t unit = n_bytes >= kHuge ? kHuge : kLine;
  const std::size_t wanted = std::max(rounded_up(n_bytes, unit), unit);
  if (wanted < n_bytes) throw std::bad_alloc();
  {
    const std::scoped_lock lock(lock_);
    auto best = idle_.end();
    for (auto it = idle_.begin(); it != idle_.end(); ++it) {
      const bool fits = it->n_bytes >= wanted && it->n_bytes / 2 <= wanted;
      if (fits && (best == idle_.end() || it->n_bytes < best->n_bytes)) best = it;
    }
    if (best != idle_.end()) {
      const Block found = *best;
      idle_.erase(best);
      return found;
    }
  }
  void* const memory = std::aligned_alloc(unit, wanted);
  if (memory == nullptr) throw std::bad_alloc();
#ifdef __linux__
  if (unit == kHuge) madvise(memory, wanted, MADV_HUGEPAGE);  // a wish, which may be refused
#endif
  return {memory, wanted};
}

void MemoryPool::give(Block block) noexcept {
  Block oldest;
  {
    const std::scoped_lock lock(lock_);
    if (idle_.size() == kMostIdle) {
      oldest = idle_.front();
      idle_.erase(idle_.begin());
    }
    try {
      idle_.push_back(block);
    } catch (...) {
      std::free(block.memory);
    }
  }
  std::free(oldest.memory);
}

void MemoryPool::release() noexcept {
  const std::scoped_lock lock(lock_);
  for (const Block& block : idle_) std::free(block.memory);
  idle_.clear();
}

}  // namespace vecsmith
