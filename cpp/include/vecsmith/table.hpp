#pragma once

#include <cstddef>
#include <cstdint>

namespace vecsmith {

enum class RowType { kFloat32, kFloat16, kInt8, kInt4, kBfloat16, kInt16 };

/// Columns of a kInt4 row that share a scale.
inline constexpr std::size_t kInt4Group = 32;
/// Bytes of the codes of a group.
inline constexpr std::size_t kInt4GroupBytes = kInt4Group / 2;
/// Values that a code can stand for.
inline constexpr std::size_t kInt4Levels = 16;

/// Groups of a kInt4 row; the last may hold fewer columns than its codes do.
constexpr std::size_t int4_groups(std::size_t dim) { return (dim + kInt4Group - 1) / kInt4Group; }

/// Rows of a static model: a view of memory that somebody else owns (often a mapped file).
/// Nobody may write to it while something pools from it: frequent rows are copied (hot_rows.hpp).
struct TableView {
  /// Row-major [n_rows, dim], aligned to its element; of kInt4 the codes, row-major [n_rows,
  /// int4_groups(dim), kInt4GroupBytes]: byte k holds the code of column k of its group in the low
  /// four bits, of column k + 16 in the high four.
  const void* rows = nullptr;
  RowType type = RowType::kFloat32;
  std::size_t n_rows = 0;
  std::size_t dim = 0;

  /// Factor of each token id, or null for ones.
  const float* weights = nullptr;
  /// Row of each token id, or null where a token's row is its id.
  const std::uint32_t* mapping = nullptr;
  /// How many token ids there are: length of `weights` and `mapping`; n_rows without a mapping.
  std::size_t n_tokens = 0;

  /// Only for kInt4, where column j of a row is levels[its code] * scales[row][j / kInt4Group].
  const std::uint16_t* scales = nullptr;  ///< bfloat16, row-major [n_rows, int4_groups(dim)]
  const std::int8_t* levels = nullptr;    ///< kInt4Levels of them

  /// Only for kInt16, where column j of a row is its code times column_scales[j]; `dim` of them.
  const float* column_scales = nullptr;
};

/// Bytes of a number of a row; of kInt4, whose rows are not arrays of numbers, 0.
constexpr std::size_t number_bytes(RowType type) {
  switch (type) {
    case RowType::kFloat32:
      return 4;
    case RowType::kFloat16:
    case RowType::kBfloat16:
    case RowType::kInt16:
      return 2;
    case RowType::kInt8:
      return 1;
    case RowType::kInt4:
      break;
  }
  return 0;
}

/// Checks that the parts fit each other; throws std::invalid_argument with the values if not.
void check(const TableView& table);

}  // namespace vecsmith
