#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "vecsmith/cpu.hpp"
#include "vecsmith/table.hpp"

namespace vecsmith {

namespace kernels {
struct Kernels;
}
class HotRows;

/// How ids become a vector.
struct Pooling {
  static constexpr std::int64_t kNone = -1;
  std::size_t dim = 0;              ///< prefix length, at most the table's
  bool normalize = true;            ///< scale to unit length, after the prefix is cut
  std::int64_t dropped_id = kNone;  ///< token that does not count, or kNone
};

/// Token ids -> mean of their rows.
class Pooler {
 public:
  /// The memory behind `table` must outlive this. Throws std::invalid_argument as check() does.
  explicit Pooler(const TableView& table, CpuLevel level = best_cpu_level());
  ~Pooler();
  Pooler(const Pooler&) = delete;
  Pooler& operator=(const Pooler&) = delete;

  /// Working memory of one thread.
  struct Scratch {
    std::vector<const void*> addresses;
    std::vector<std::uint32_t> kept, numbers;
    std::vector<float> weights;
    std::vector<std::size_t> ends;
  };

  /// Writes the vector of ids[ends[i - 1] .. ends[i]) to out + i * pooling.dim; no ids give zeros.
  ///
  /// Rows are added in order in float32 and divided by their number, so the mean has the bits of
  /// numpy's (up to 65,536 tokens; longer texts are gathered in float64 and are nearer). Unit
  /// vectors are the sum times the inverse of its length. Every id must be below n_tokens.
  void pool(std::span<const std::uint32_t> ids, std::span<const std::size_t> ends,
            const Pooling& pooling, Scratch& scratch, float* out) const;

  const TableView& table() const { return table_; }

 private:
  /// The tokens that count: where their rows are, and their weights unless all are one.
  struct Rows {
    const void* const* addresses;
    const std::uint32_t* numbers;  // of kInt4, in place of addresses
    const float* weights;
    std::size_t n_readable;

    Rows from(std::size_t first) const {
      return {addresses == nullptr ? nullptr : addresses + first,
              numbers == nullptr ? nullptr : numbers + first,
              weights == nullptr ? nullptr : weights + first, n_readable - first};
    }
  };

  Rows find_rows(std::span<const std::uint32_t> ids, std::span<const std::size_t> ends,
                 std::int64_t dropped_id, Scratch& scratch) const;
  void sum(Rows rows, std::size_t n, std::size_t dim, float* out) const;
  void sum_stretch(Rows rows, std::size_t n, std::size_t dim, float* out) const;

  TableView table_;
  const kernels::Kernels& kernels_;
  std::unique_ptr<HotRows> hot_;
};

}  // namespace vecsmith
