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
}  // namespace kernels
class HotRows;

/// What the numbers of a vector are written as.
enum class OutputType {
  kFloat32,
  kFloat16,     ///< the nearest; sizes from 65,520 on become infinite
  kInt8,        ///< of the vector scaled so that its largest entry is 127; zeros if none is finite
  kBits,        ///< a bit for each entry, set above zero: the first one highest, whole bytes
  kSignedBits,  ///< the same bytes less 128, as int8
};

/// Bytes of a vector of `dim` dimensions.
constexpr std::size_t bytes_of(OutputType type, std::size_t dim) {
  switch (type) {
    case OutputType::kFloat32:
      return 4 * dim;
    case OutputType::kFloat16:
      return 2 * dim;
    case OutputType::kInt8:
      return dim;
    case OutputType::kBits:
    case OutputType::kSignedBits:
      break;
  }
  return (dim + 7) / 8;
}

/// How ids become a vector.
struct Pooling {
  static constexpr std::int64_t kNone = -1;
  std::size_t dim = 0;              ///< prefix length, at most the table's
  bool normalize = true;            ///< scale to unit length, after the prefix is cut
  std::int64_t dropped_id = kNone;  ///< token that does not count, or kNone
  OutputType output = OutputType::kFloat32;

  /// Bytes of a vector.
  std::size_t n_bytes() const { return bytes_of(output, dim); }
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
    std::vector<float> vector;  // where the output is narrower
  };

  /// Writes the vector of ids[ends[i - 1] .. ends[i]) to `out` + i * pooling.n_bytes(), which is
  /// aligned to its numbers; no ids give zeros.
  ///
  /// Rows are added in order in float32 and divided by their number, so the mean has the bits of
  /// numpy's (up to 65,536 tokens; longer texts are gathered in float64 and are nearer), and so has
  /// the unit vector, which is the mean divided by its length. Every id must be below n_tokens.
  void pool(std::span<const std::uint32_t> ids, std::span<const std::size_t> ends,
            const Pooling& pooling, Scratch& scratch, void* out) const;

  const TableView& table() const { return table_; }

 private:
  /// The tokens that count: where their rows are, and their weights unless all are one.
  struct Rows {
    const void* const* addresses;
    const std::uint32_t* numbers;  // of kInt4, in place of addresses
    const float* weights;
    std::size_t n_readable;
    std::size_t apart;  // floats from one piece of a row to the next, 0 where rows are whole

    Rows from(std::size_t first) const {
      return {addresses == nullptr ? nullptr : addresses + first,
              numbers == nullptr ? nullptr : numbers + first,
              weights == nullptr ? nullptr : weights + first, n_readable - first, apart};
    }
  };

  Rows find_rows(std::span<const std::uint32_t> ids, std::span<const std::size_t> ends,
                 std::int64_t dropped_id, Scratch& scratch) const;
  static bool is_worth_pieces(const Rows& rows, std::span<const std::size_t> ends);
  void pool_pieces(Rows rows, std::span<const std::size_t> ends, const Pooling& pooling,
                   float* out) const;
  void mean(Rows rows, std::size_t n, const Pooling& pooling, float* out) const;
  void finish(std::size_t n, const Pooling& pooling, float* out) const;
  void write(const float* vector, const Pooling& pooling, void* out) const;
  void sum(Rows rows, std::size_t n, std::size_t dim, float* out) const;
  void sum_stretch(Rows rows, std::size_t n, std::size_t dim, float* out) const;

  TableView table_;
  const kernels::Kernels& kernels_;
  std::unique_ptr<HotRows> hot_;
};

}  // namespace vecsmith
