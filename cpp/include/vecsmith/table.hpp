#pragma once

#include <cstddef>
#include <cstdint>

namespace vecsmith {

enum class RowType { kFloat32, kFloat16, kInt8 };

/// Rows of a static model: a view of memory that somebody else owns (often a mapped file).
struct TableView {
  const void* rows = nullptr;  ///< row-major [n_rows, dim], aligned to its element
  RowType type = RowType::kFloat32;
  std::size_t n_rows = 0;
  std::size_t dim = 0;

  /// Factor of each token id, or null for ones.
  const float* weights = nullptr;
  /// Row of each token id, or null where a token's row is its id.
  const std::uint32_t* mapping = nullptr;
  /// How many token ids there are: length of `weights` and `mapping`; n_rows without a mapping.
  std::size_t n_tokens = 0;
};

/// Checks that the parts fit each other; throws std::invalid_argument with the values if not.
void check(const TableView& table);

}  // namespace vecsmith
