#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

namespace vecsmith {

/// Working memory that is kept for the next use.
///
/// A step of training needs a hundred megabytes for a moment; to get them from the system anew each
/// time, zeroed page by page, took a fifth of the step. Any number of threads may use one pool.
class MemoryPool {
 public:
  MemoryPool() = default;
  ~MemoryPool() { release(); }
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  struct Block {
    void* memory = nullptr;
    std::size_t n_bytes = 0;
  };

  /// At least n_bytes of memory, aligned to 64 bytes, holding anything. Throws std::bad_alloc.
  Block take(std::size_t n_bytes);
  /// Takes back what take() gave.
  void give(Block block) noexcept;
  /// Returns all idle memory to the system.
  void release() noexcept;

 private:
  std::mutex lock_;
  std::vector<Block> idle_;
};

/// An array of a pool's memory, given back at the end of its life.
template <typename T>
class PooledArray {
 public:
  PooledArray(MemoryPool& pool, std::size_t size)
      : pool_(pool), block_(pool.take(size * sizeof(T))), size_(size) {}
  ~PooledArray() { pool_.give(block_); }
  PooledArray(const PooledArray&) = delete;
  PooledArray& operator=(const PooledArray&) = delete;

  T* data() { return static_cast<T*>(block_.memory); }
  const T* data() const { return static_cast<const T*>(block_.memory); }
  std::size_t size() const { return size_; }

 private:
  MemoryPool& pool_;
  MemoryPool::Block block_;
  std::size_t size_;
};

}  // namespace vecsmith
