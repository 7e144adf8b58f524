#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "kernels/search.hpp"
#include "vecsmith/search.hpp"

namespace vecsmith {

inline std::size_t rounded_up(std::size_t n, std::size_t unit) {
  return (n + unit - 1) / unit * unit;
}

/// Zeros that begin at a cache line.
template <typename Number>
class AlignedArray {
 public:
  explicit AlignedArray(std::size_t n = 0) : size_(n) {
    if (n == 0) return;
    const std::size_t n_bytes = rounded_up(n * sizeof(Number), 64);
    memory_.reset(static_cast<Number*>(std::aligned_alloc(64, n_bytes)));
    if (!memory_) throw std::bad_alloc();
    std::memset(memory_.get(), 0, n_bytes);
  }
  Number* data() { return memory_.get(); }
  const Number* data() const { return memory_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(Number* memory) const { std::free(memory); }
  };
  std::unique_ptr<Number, Free> memory_;
  std::size_t size_;
};

/// Bytes of `dim` entries of a row.
std::size_t row_bytes(VectorType type, std::size_t dim);

/// Dimensions of a query, and of a row of a group, padded with zeros.
std::size_t padded_dim(VectorType type, std::size_t dim);

/// Some queries in the shapes that the kernels want them in.
class PreparedQueries {
 public:
  /// Takes n queries from the `first` on; `grouped` says which kernels they are for.
  PreparedQueries(const SearchQueries& queries, std::size_t first, std::size_t n, VectorType type,
                  std::size_t dim, bool grouped);

  std::size_t size() const { return n_; }

  /// Dot products of query q with n rows; those that exceed the threshold once they are scores.
  /// `dots`, `positions` and `scores` have room for n + 16.
  struct Room {
    float* dots;
    std::int32_t* whole;
    std::uint32_t* positions;
    float* scores;
  };
  std::size_t keep(const kernels::SearchKernels& loops, std::size_t q, const kernels::RowsAt& rows,
                   std::size_t n, const kernels::Affine& affine, float threshold,
                   const Room& room) const;

  /// The same of group g with n padded rows; of halves they are widened already.
  std::size_t keep_group(const kernels::SearchKernels& loops, std::size_t g,
                         const std::uint8_t* rows, std::size_t stride, std::size_t n,
                         const kernels::Affine& affine, const float* thresholds,
                         const Room& room) const;

 private:
  void take_floats(const float* query, std::size_t q);
  void take_whole(const float* query, std::size_t q, bool grouped);
  void take_bits(const float* query, std::size_t q, bool grouped);

  VectorType type_;
  std::size_t n_;
  std::size_t dim_;
  std::size_t padded_;
  AlignedArray<float> floats_;
  AlignedArray<std::int8_t> whole_;
  AlignedArray<float> scales_;  // of dot products of whole numbers
  AlignedArray<std::uint64_t> words_;
};

}  // namespace vecsmith
