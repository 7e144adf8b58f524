#include "vecsmith/table.hpp"

#include <stdexcept>
#include <string>

namespace vecsmith {

void check(const TableView& table) {
  if (table.dim == 0) throw std::invalid_argument("rows of 0 dimensions, expected at least 1");
  if (table.type == RowType::kInt4 && (table.scales == nullptr || table.levels == nullptr)) {
    throw std::invalid_argument("int4 rows without scales or levels, expected both");
  }
  if (table.type == RowType::kInt16 && table.column_scales == nullptr) {
    throw std::invalid_argument("int16 rows without the scales of their columns, expected them");
  }
  if (table.mapping == nullptr && table.n_tokens != table.n_rows) {
    throw std::invalid_argument(std::to_string(table.n_tokens) + " token weights for " +
                                std::to_string(table.n_rows) + " rows, expected one for each");
  }
  if (table.mapping == nullptr) return;
  for (std::size_t token = 0; token < table.n_tokens; ++token) {
    if (table.mapping[token] >= table.n_rows) {
      throw std::invalid_argument("mapping of token " + std::to_string(token) + " is row " +
                                  std::to_string(table.mapping[token]) + " but there are " +
                                  std::to_string(table.n_rows) + " rows");
    }
  }
}

}  // namespace vecsmith
