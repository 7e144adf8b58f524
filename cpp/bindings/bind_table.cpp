#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "table.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

vecsmith::RowType row_type_of(const BoundTable::Rows& rows) {
  if (rows.dtype() == nb::dtype<float>()) return vecsmith::RowType::kFloat32;
  if (rows.dtype() == nb::dtype<std::int8_t>()) return vecsmith::RowType::kInt8;
  const nb::dlpack::dtype half{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float), 16, 1};
  if (rows.dtype() == half) return vecsmith::RowType::kFloat16;
  const nb::dlpack::dtype found = rows.dtype();
  static constexpr const char* kKinds[] = {"int", "uint", "float"};
  const std::string kind =
      found.code < 3 ? kKinds[found.code] : "type " + std::to_string(found.code);
  throw nb::type_error(
      ("table is of " + kind + std::to_string(found.bits) + ", expected float32, float16 or int8")
          .c_str());
}

std::string shape_of(std::size_t a, std::size_t b) {
  return "[" + std::to_string(a) + ", " + std::to_string(b) + "]";
}

}  // namespace

BoundTable::BoundTable(Rows rows, std::optional<Weights> weights, std::optional<Ids> mapping)
    : rows_(std::move(rows)) {
  view_ = {
      .rows = rows_->data(),
      .type = row_type_of(*rows_),
      .n_rows = rows_->shape(0),
      .dim = rows_->shape(1),
  };
  attach(std::move(weights), std::move(mapping));
}

BoundTable::BoundTable(Codes codes, Scales scales, Levels levels, std::size_t dim,
                       std::optional<Weights> weights, std::optional<Ids> mapping)
    : codes_(std::move(codes)), scales_(std::move(scales)), levels_(std::move(levels)) {
  // compared by the scales' own shape: sums of a hostile dim would wrap around
  const std::size_t n_groups = scales_->shape(1);
  const bool fits =
      dim <= n_groups * vecsmith::kInt4Group && vecsmith::int4_groups(dim) == n_groups &&
      codes_->shape(1) == n_groups * vecsmith::kInt4GroupBytes &&
      codes_->shape(0) == scales_->shape(0) && levels_->shape(0) == vecsmith::kInt4Levels;
  if (!fits) {
    throw std::invalid_argument(
        "codes " + shape_of(codes_->shape(0), codes_->shape(1)) + ", scales " +
        shape_of(scales_->shape(0), n_groups) + " and " + std::to_string(levels_->shape(0)) +
        " levels for " + std::to_string(dim) +
        " dimensions, expected 16 codes' bytes and a scale for each 32 dimensions of a row, and "
        "16 levels");
  }
  view_ = {
      .rows = codes_->data(),
      .type = vecsmith::RowType::kInt4,
      .n_rows = codes_->shape(0),
      .dim = dim,
      .scales = scales_->data(),
      .levels = levels_->data(),
  };
  attach(std::move(weights), std::move(mapping));
}

BoundTable::BoundTable(Halves halves, std::optional<Weights> weights, std::optional<Ids> mapping)
    : halves_(std::move(halves)) {
  view_ = {
      .rows = halves_->data(),
      .type = vecsmith::RowType::kBfloat16,
      .n_rows = halves_->shape(0),
      .dim = halves_->shape(1),
  };
  attach(std::move(weights), std::move(mapping));
}

BoundTable::BoundTable(Shorts codes, Weights scales, std::optional<Weights> weights,
                       std::optional<Ids> mapping)
    : shorts_(std::move(codes)), column_scales_(std::move(scales)) {
  if (column_scales_->shape(0) != shorts_->shape(1)) {
    throw std::invalid_argument(std::to_string(column_scales_->shape(0)) + " scales for codes " +
                                shape_of(shorts_->shape(0), shorts_->shape(1)) +
                                ", expected one for each column");
  }
  view_ = {
      .rows = shorts_->data(),
      .type = vecsmith::RowType::kInt16,
      .n_rows = shorts_->shape(0),
      .dim = shorts_->shape(1),
      .column_scales = column_scales_->data(),
  };
  attach(std::move(weights), std::move(mapping));
}

void BoundTable::attach(std::optional<Weights> weights, std::optional<Ids> mapping) {
  weights_ = std::move(weights);
  mapping_ = std::move(mapping);
  view_.n_tokens = view_.n_rows;
  if (weights_) {
    view_.weights = weights_->data();
    view_.n_tokens = weights_->shape(0);
  }
  if (mapping_) {
    view_.mapping = mapping_->data();
    view_.n_tokens = mapping_->shape(0);
    if (weights_ && weights_->shape(0) != view_.n_tokens) {
      throw std::invalid_argument(std::to_string(weights_->shape(0)) +
                                  " weights for a mapping of " + std::to_string(view_.n_tokens) +
                                  " tokens");
    }
  }
  vecsmith::check(view_);
}

void bind_table(nb::module_& m) {
  nb::class_<BoundTable>(m, "Table", "Rows, and the row and the factor of each token id.")
      .def(nb::init<BoundTable::Rows, std::optional<BoundTable::Weights>,
                    std::optional<BoundTable::Ids>>(),
           "rows"_a.noconvert(), "weights"_a.noconvert().none(), "mapping"_a.noconvert().none())
      .def_static(
          "bfloat16",
          [](BoundTable::Halves rows, std::optional<BoundTable::Weights> weights,
             std::optional<BoundTable::Ids> mapping) {
            return BoundTable(std::move(rows), std::move(weights), std::move(mapping));
          },
          "rows"_a.noconvert(), "weights"_a.noconvert().none(), "mapping"_a.noconvert().none(),
          "A table of bfloat16 numbers, given as their bits.")
      .def_static(
          "int16",
          [](BoundTable::Shorts codes, BoundTable::Weights scales,
             std::optional<BoundTable::Weights> weights, std::optional<BoundTable::Ids> mapping) {
            return BoundTable(std::move(codes), std::move(scales), std::move(weights),
                              std::move(mapping));
          },
          "codes"_a.noconvert(), "scales"_a.noconvert(), "weights"_a.noconvert().none(),
          "mapping"_a.noconvert().none(), "A table of 16-bit codes with a scale for each column.")
      .def_static(
          "int4",
          [](BoundTable::Codes codes, BoundTable::Scales scales, BoundTable::Levels levels,
             std::size_t dim, std::optional<BoundTable::Weights> weights,
             std::optional<BoundTable::Ids> mapping) {
            return BoundTable(std::move(codes), std::move(scales), std::move(levels), dim,
                              std::move(weights), std::move(mapping));
          },
          "codes"_a.noconvert(), "scales"_a.noconvert(), "levels"_a.noconvert(), "dim"_a,
          "weights"_a.noconvert().none(), "mapping"_a.noconvert().none(),
          "A table of four bits a column, in groups of 32 with a bfloat16 scale each.");
}
