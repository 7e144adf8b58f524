#include "contrast_products.hpp"

#include <algorithm>
#include <cstring>

#include "vecsmith/parallel.hpp"

namespace vecsmith {

namespace {

constexpr std::size_t kDepth = 1024;  // factors of a product that are added before the sums rest

std::size_t rounded_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

Segments::Segments(std::span<const std::size_t> lengths, std::size_t tile) {
  std::size_t begin = 0;
  for (const std::size_t end : lengths) {
    const std::size_t padded = rounded_up(end - begin, tile);
    all.push_back({begin, end - begin, total, padded});
    total += padded;
    begin = end;
  }
}

namespace {

// float32 factors, or such as are rounded to bfloat16 where there are no tile registers.
//
// Panels hold a tile's worth of rows or columns one factor after another, as the kernels read them.
class FloatProducts final : public ContrastProducts {
 public:
  FloatProducts(const NestedContrast& contrast, const kernels::ContrastKernels& kernels,
                std::size_t block_rows, std::size_t n_threads)
      : contrast_(contrast),
        kernels_(kernels),
        rows_(kernels.tile_rows),
        cols_(kernels.tile_cols),
        segments_(contrast.lengths, cols_),
        n_columns_(rounded_up(contrast.candidates.n_rows, cols_)),
        n_panel_rows_(rounded_up(n_columns_, rows_)),
        left_(block_rows * segments_.total),
        across_(block_rows * segments_.total),
        columns_(n_columns_ * segments_.total),
        down_(n_columns_ * segments_.total),
        d_queries_(block_rows * segments_.total),
        d_candidates_(n_panel_rows_ * segments_.total) {
    for (std::size_t k = 0; k < segments_.all.size(); ++k) {
      widths_.push_back(segments_.all[k].padded);
      plane_of_panel_.insert(plane_of_panel_.end(), segments_.all[k].padded / cols_, k);
    }
    parallel_for(contrast.candidates.n_rows, 64, n_threads, [&](std::size_t i, std::size_t end) {
      std::vector<float> row(segments_.total);
      for (; i < end; ++i) {
        widen(contrast_.candidates, i, row.data());
        put(row.data(), columns_.data() + i / cols_ * segments_.total * cols_ + i % cols_, cols_);
        spread(row.data(), down_.data() + i * cols_, n_columns_);
      }
    });
  }

  std::size_t row_unit() const override { return rows_; }
  std::size_t column_unit() const override { return cols_; }

  void open(std::size_t first_query, std::size_t n_queries, std::size_t n_threads) override {
    n_block_rows_ = rounded_up(n_queries, rows_);
    parallel_for(n_block_rows_, 16, n_threads, [&](std::size_t r, std::size_t end) {
      std::vector<float> row(segments_.total);
      for (; r < end; ++r) {
        if (r < n_queries) {
          widen(contrast_.queries, first_query + r, row.data());
        } else {
          std::ranges::fill(row, 0.0F);
        }
        put(row.data(), left_.data() + r / rows_ * segments_.total * rows_ + r % rows_, rows_);
        spread(row.data(), across_.data() + r * cols_, n_block_rows_);
        std::fill_n(d_queries_.data() + r * segments_.total, segments_.total, 0.0F);
      }
    });
  }

  std::size_t n_dots_tasks() const override { return n_columns_ / cols_; }

  void dots(std::size_t first_task, std::size_t last_task, Planes& planes) override {
    for (std::size_t panel = first_task; panel < last_task; ++panel) {
      for (std::size_t r = 0; r < n_block_rows_; r += rows_) {
        kernels_.dots(left_.data() + r * segments_.total,
                      columns_.data() + panel * cols_ * segments_.total, widths_.data(),
                      widths_.size(), planes.row(0, r) + panel * cols_, planes.stride,
                      planes.n_rows * planes.stride);
      }
    }
  }

  void keep(std::size_t r, Planes& planes) override {
    if (!contrast_.bfloat16) return;
    for (std::size_t k = 0; k < widths_.size(); ++k) {
      kernels_.round_to_bfloat16(planes.row(k, r), n_columns_);
      kernels_.round_to_bfloat16(planes.row(k, r + 1), n_columns_);
    }
  }

  std::size_t n_back_tasks() const override {
    return plane_of_panel_.size() + n_panel_rows_ / rows_;
  }

  void back(std::size_t first_task, std::size_t last_task, const Planes& planes) override {
    for (std::size_t task = first_task; task < last_task; ++task) {
      if (task < plane_of_panel_.size()) {
        add_to_queries(task, planes);
      } else {
        add_to_candidates((task - plane_of_panel_.size()) * rows_, planes);
      }
    }
  }

  void write_query(std::size_t r, float* out) const override {
    narrow(d_queries_.data() + r * segments_.total, out);
  }

  void write_candidates(std::size_t first, std::size_t last, float* out,
                        std::size_t stride) const override {
    for (std::size_t i = first; i < last; ++i) {
      narrow(d_candidates_.data() + i * segments_.total, out + i * stride);
    }
  }

 private:
  // One vector in the widened layout, rounded if asked for.
  void widen(const VectorsView& vectors, std::size_t i, float* row) const {
    const float* const from = vectors.values + i * vectors.dim;
    for (const auto& segment : segments_.all) {
      std::copy_n(from + segment.begin, segment.width, row + segment.at);
      std::fill(row + segment.at + segment.width, row + segment.at + segment.padded, 0.0F);
    }
    if (contrast_.bfloat16) kernels_.round_to_bfloat16(row, segments_.total);
  }

  void narrow(const float* row, float* out) const {
    for (const auto& segment : segments_.all) {
      std::copy_n(row + segment.at, segment.width, out + segment.begin);
    }
  }

  // Into a panel: one entry every `step`.
  void put(const float* row, float* to, std::size_t step) const {
    for (std::size_t d = 0; d < segments_.total; ++d) to[d * step] = row[d];
  }

  // Into panels of tile_cols dimensions with `depth` rows each.
  void spread(const float* row, float* to, std::size_t depth) const {
    for (std::size_t d = 0; d < segments_.total; d += cols_, to += depth * cols_) {
      std::copy_n(row + d, cols_, to);
    }
  }

  void add_to_queries(std::size_t panel, const Planes& planes) {
    const float* const right = down_.data() + panel * n_columns_ * cols_;
    for (std::size_t c = 0; c < n_columns_; c += kDepth) {
      const std::size_t depth = std::min(kDepth, n_columns_ - c);
      for (std::size_t r = 0; r < n_block_rows_; r += rows_) {
        kernels_.add_product(planes.row(plane_of_panel_[panel], r) + c, planes.stride, 1,
                             right + c * cols_, depth,
                             d_queries_.data() + r * segments_.total + panel * cols_,
                             segments_.total);
      }
    }
  }

  void add_to_candidates(std::size_t c, const Planes& planes) {
    for (std::size_t panel = 0; panel < plane_of_panel_.size(); ++panel) {
      kernels_.add_product(planes.row(plane_of_panel_[panel], 0) + c, 1, planes.stride,
                           across_.data() + panel * n_block_rows_ * cols_, n_block_rows_,
                           d_candidates_.data() + c * segments_.total + panel * cols_,
                           segments_.total);
    }
  }

  const NestedContrast& contrast_;
  const kernels::ContrastKernels& kernels_;
  std::size_t rows_, cols_;
  Segments segments_;
  std::size_t n_columns_;
  std::size_t n_panel_rows_;  // candidates padded to whole tiles of rows
  std::size_t n_block_rows_ = 0;
  std::vector<std::size_t> widths_;
  std::vector<std::size_t> plane_of_panel_;
  std::vector<float> left_;     // queries of the block in panels of tile_rows queries
  std::vector<float> across_;   // the same in panels of tile_cols dimensions
  std::vector<float> columns_;  // candidates in panels of tile_cols candidates
  std::vector<float> down_;     // the same in panels of tile_cols dimensions
  std::vector<float> d_queries_;
  std::vector<float> d_candidates_;
};

}  // namespace

std::unique_ptr<ContrastProducts> float_products(const NestedContrast& contrast, CpuLevel level,
                                                 std::size_t block_rows, std::size_t n_threads) {
  return std::make_unique<FloatProducts>(contrast, kernels::contrast_kernels_of(level), block_rows,
                                         n_threads);
}

}  // namespace vecsmith
