#pragma once

// A table's arrays, held for as long as an engine object looks at them.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "vecsmith/table.hpp"

class BoundTable {
 public:
  using Rows =
      nanobind::ndarray<nanobind::ro, nanobind::ndim<2>, nanobind::c_contig, nanobind::device::cpu>;
  using Codes = nanobind::ndarray<const std::uint8_t, nanobind::ndim<2>, nanobind::c_contig,
                                  nanobind::device::cpu>;
  using Scales = nanobind::ndarray<const std::uint16_t, nanobind::ndim<2>, nanobind::c_contig,
                                   nanobind::device::cpu>;
  using Levels = nanobind::ndarray<const std::int8_t, nanobind::ndim<1>, nanobind::c_contig,
                                   nanobind::device::cpu>;
  using Weights =
      nanobind::ndarray<const float, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;
  using Ids = nanobind::ndarray<const std::uint32_t, nanobind::ndim<1>, nanobind::c_contig,
                                nanobind::device::cpu>;

  using Halves = nanobind::ndarray<const std::uint16_t, nanobind::ndim<2>, nanobind::c_contig,
                                   nanobind::device::cpu>;
  using Shorts = nanobind::ndarray<const std::int16_t, nanobind::ndim<2>, nanobind::c_contig,
                                   nanobind::device::cpu>;

  /// Rows of float32, float16 or int8; throws type_error for others.
  BoundTable(Rows rows, std::optional<Weights> weights, std::optional<Ids> mapping);
  /// Rows of four bits a column, see TableView; throws std::invalid_argument where sizes differ.
  BoundTable(Codes codes, Scales scales, Levels levels, std::size_t dim,
             std::optional<Weights> weights, std::optional<Ids> mapping);

  /// Rows of bfloat16, as their bits.
  BoundTable(Halves halves, std::optional<Weights> weights, std::optional<Ids> mapping);
  /// Rows of codes of 16 bits, with a scale for each column; throws as above.
  BoundTable(Shorts codes, Weights scales, std::optional<Weights> weights,
             std::optional<Ids> mapping);

  const vecsmith::TableView& view() const { return view_; }

 private:
  void attach(std::optional<Weights> weights, std::optional<Ids> mapping);

  std::optional<Rows> rows_;
  std::optional<Halves> halves_;
  std::optional<Shorts> shorts_;
  std::optional<Weights> column_scales_;
  std::optional<Codes> codes_;
  std::optional<Scales> scales_;
  std::optional<Levels> levels_;
  std::optional<Weights> weights_;
  std::optional<Ids> mapping_;
  vecsmith::TableView view_;
};
