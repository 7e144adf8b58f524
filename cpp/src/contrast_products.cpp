#include "contrast_products.hpp"

#include <algorithm>
#include <cstring>

#include "vecsmith/parallel.hpp"

namespace vecsmith {

namespace {

constexpr std::size_t kDepth = 128;      // factors that are added while a tile stays in registers
constexpr std::size_t kGroupRows = 96;   // a multiple of every kernel's tile_rows
constexpr std::size_t kStripPanels = 8;  // panels of dimensions in one task

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
// A stretch of one right panel stays in the first level cache while a group of rows passes by,
// whose own panels stay in the second.
class FloatProducts final : public ContrastProducts {
 public:
  FloatProducts(const NestedContrast& contrast, const kernels::ContrastKernels& kernels,
                std::size_t block_rows, std::size_t n_threads, MemoryPool& pool)
      : contrast_(contrast),
        kernels_(kernels),
        pool_(pool),
        rows_(kernels.tile_rows),
        cols_(kernels.tile_cols),
        segments_(contrast.lengths, cols_),
        width_(segments_.total),
        n_columns_(rounded_up(contrast.candidates.n_rows, cols_)),
        n_panel_rows_(rounded_up(contrast.candidates.n_rows, rows_)),
        left_(pool, block_rows * width_),
        across_(pool, block_rows * width_),
        columns_(pool, n_columns_ * width_),
        down_(pool, n_columns_ * width_),
        d_queries_(pool, block_rows * width_),
        d_candidates_(pool, n_panel_rows_ * width_) {
    for (std::size_t k = 0; k < segments_.all.size(); ++k) plan(k);
    std::fill_n(d_candidates_.data(), d_candidates_.size(), 0.0F);
    parallel_for(n_columns_, 64, n_threads, [&](std::size_t i, std::size_t end) {
      std::vector<float> row(width_);
      for (; i < end; ++i) {
        widen(contrast_.candidates, i, row.data());
        put(row.data(), columns_.data() + i / cols_ * width_ * cols_ + i % cols_, cols_);
        spread(row.data(), down_.data() + i * cols_, n_columns_);
      }
    });
  }

  std::size_t row_unit() const override { return rows_; }
  std::size_t column_unit() const override { return cols_; }

  void open(std::size_t first_query, std::size_t n_queries, std::size_t n_threads) override {
    n_block_rows_ = rounded_up(n_queries, rows_);
    parallel_for(n_block_rows_, 16, n_threads, [&](std::size_t r, std::size_t end) {
      std::vector<float> row(width_);
      for (; r < end; ++r) {
        // rows that fill up the last tile hold other queries: what comes of them is not read
        widen(contrast_.queries, first_query + r, row.data());
        put(row.data(), left_.data() + r / rows_ * width_ * rows_ + r % rows_, rows_);
        spread(row.data(), across_.data() + r * cols_, n_block_rows_);
        std::fill_n(d_queries_.data() + r * width_, width_, 0.0F);
      }
    });
  }

  std::size_t n_dots_tasks() const override { return n_columns_ / cols_; }

  void dots(std::size_t first_task, std::size_t last_task, Planes& planes) override {
    for (std::size_t panel = first_task; panel < last_task; ++panel) {
      const float* const right = columns_.data() + panel * cols_ * width_;
      for (std::size_t group = 0; group < n_block_rows_; group += kGroupRows) {
        const std::size_t end = std::min(n_block_rows_, group + kGroupRows);
        for (const Step& step : steps_) {
          for (std::size_t r = group; r < end; r += rows_) {
            const float* const base =
                step.at == 0 ? nullptr : planes.row(step.from, r) + panel * cols_;
            kernels_.dots(left_.data() + r * width_ + step.at * rows_, right + step.at * cols_,
                          step.depth, base, planes.row(step.to, r) + panel * cols_, planes.stride);
          }
        }
      }
    }
  }

  void keep(std::size_t r, Planes& planes) override {
    if (!contrast_.bfloat16) return;
    for (std::size_t k = 0; k < segments_.all.size(); ++k) {
      kernels_.round_to_bfloat16(planes.row(k, r), n_columns_);
      kernels_.round_to_bfloat16(planes.row(k, r + 1), n_columns_);
    }
  }

  std::size_t n_back_tasks() const override {
    return n_query_tasks() + rounded_up(n_panel_rows_, kGroupRows) / kGroupRows;
  }

  void back(std::size_t first_task, std::size_t last_task, const Planes& planes) override {
    for (std::size_t task = first_task; task < last_task; ++task) {
      if (task < n_query_tasks()) {
        add_to_queries(task / strips_.size() * kGroupRows, strips_[task % strips_.size()], planes);
      } else {
        add_to_candidates((task - n_query_tasks()) * kGroupRows, planes);
      }
    }
  }

  void write_query(std::size_t r, float* out) const override {
    narrow(d_queries_.data() + r * width_, out);
  }

  void write_candidates(std::size_t first, std::size_t last, float* out,
                        std::size_t stride) const override {
    for (std::size_t i = first; i < last; ++i) {
      narrow(d_candidates_.data() + i * width_, out + i * stride);
    }
  }

 private:
  // Some factors of dot products: to which plane, beginning with the sums of which.
  struct Step {
    std::size_t at, depth, from, to;
  };
  // Panels of dimensions that one plane counts for.
  struct Strip {
    std::size_t first, last, plane;
  };

  void plan(std::size_t k) {
    const auto& segment = segments_.all[k];
    for (std::size_t done = 0; done < segment.padded; done += kDepth) {
      const std::size_t from = done == 0 && k > 0 ? k - 1 : k;
      steps_.push_back({segment.at + done, std::min(kDepth, segment.padded - done), from, k});
    }
    const std::size_t last = (segment.at + segment.padded) / cols_;
    for (std::size_t first = segment.at / cols_; first < last; first += kStripPanels) {
      strips_.push_back({first, std::min(last, first + kStripPanels), k});
    }
  }

  // One vector in the widened layout, rounded if asked for; zeros where there is none.
  void widen(const VectorsView& vectors, std::size_t i, float* row) const {
    if (i >= vectors.n_rows) {
      std::fill_n(row, width_, 0.0F);
      return;
    }
    const float* const from = vectors.values + i * vectors.dim;
    for (const auto& segment : segments_.all) {
      std::copy_n(from + segment.begin, segment.width, row + segment.at);
      std::fill(row + segment.at + segment.width, row + segment.at + segment.padded, 0.0F);
    }
    if (contrast_.bfloat16) kernels_.round_to_bfloat16(row, width_);
  }

  void narrow(const float* row, float* out) const {
    for (const auto& segment : segments_.all) {
      std::copy_n(row + segment.at, segment.width, out + segment.begin);
    }
  }

  // Into a panel: one entry every `step`.
  void put(const float* row, float* to, std::size_t step) const {
    for (std::size_t d = 0; d < width_; ++d) to[d * step] = row[d];
  }

  // Into panels of tile_cols dimensions with `depth` rows each.
  void spread(const float* row, float* to, std::size_t depth) const {
    for (std::size_t d = 0; d < width_; d += cols_, to += depth * cols_) {
      std::copy_n(row + d, cols_, to);
    }
  }

  std::size_t n_query_tasks() const {
    return rounded_up(n_block_rows_, kGroupRows) / kGroupRows * strips_.size();
  }

  void add_to_queries(std::size_t group, const Strip& strip, const Planes& planes) {
    const std::size_t end = std::min(n_block_rows_, group + kGroupRows);
    for (std::size_t c = 0; c < n_columns_; c += kDepth) {
      const std::size_t depth = std::min(kDepth, n_columns_ - c);
      for (std::size_t panel = strip.first; panel < strip.last; ++panel) {
        const float* const right = down_.data() + (panel * n_columns_ + c) * cols_;
        for (std::size_t r = group; r < end; r += rows_) {
          kernels_.add_product(planes.row(strip.plane, r) + c, planes.stride, 1, right, depth,
                               d_queries_.data() + r * width_ + panel * cols_, width_);
        }
      }
    }
  }

  void add_to_candidates(std::size_t group, const Planes& planes) {
    const std::size_t end = std::min(n_panel_rows_, group + kGroupRows);
    PooledArray<float> left(pool_, kGroupRows * n_block_rows_);  // panels of tile_rows candidates
    for (const Strip& strip : strips_) {
      if (strip.first * cols_ == segments_.all[strip.plane].at) {
        for (std::size_t r = 0; r < n_block_rows_; ++r) {
          kernels_.cut(planes.row(strip.plane, r) + group, end - group, left.data() + r * rows_,
                       n_block_rows_ * rows_);
        }
      }
      for (std::size_t panel = strip.first; panel < strip.last; ++panel) {
        for (std::size_t r = 0; r < n_block_rows_; r += kDepth) {
          const std::size_t depth = std::min(kDepth, n_block_rows_ - r);
          const float* const right = across_.data() + (panel * n_block_rows_ + r) * cols_;
          for (std::size_t c = group; c < end; c += rows_) {
            kernels_.add_product(left.data() + (c - group) * n_block_rows_ + r * rows_, 1, rows_,
                                 right, depth, d_candidates_.data() + c * width_ + panel * cols_,
                                 width_);
          }
        }
      }
    }
  }

  const NestedContrast& contrast_;
  const kernels::ContrastKernels& kernels_;
  MemoryPool& pool_;
  std::size_t rows_, cols_;
  Segments segments_;
  std::size_t width_;
  std::size_t n_columns_;
  std::size_t n_panel_rows_;  // candidates padded to whole tiles of rows
  std::size_t n_block_rows_ = 0;
  std::vector<Step> steps_;
  std::vector<Strip> strips_;
  PooledArray<float> left_;     // queries of the block in panels of tile_rows queries
  PooledArray<float> across_;   // the same in panels of tile_cols dimensions
  PooledArray<float> columns_;  // candidates in panels of tile_cols candidates
  PooledArray<float> down_;     // the same in panels of tile_cols dimensions
  PooledArray<float> d_queries_;
  PooledArray<float> d_candidates_;
};

}  // namespace

std::unique_ptr<ContrastProducts> float_products(const NestedContrast& contrast, CpuLevel level,
                                                 std::size_t block_rows, std::size_t n_threads,
                                                 MemoryPool& pool) {
  return std::make_unique<FloatProducts>(contrast, kernels::contrast_kernels_of(level), block_rows,
                                         n_threads, pool);
}

}  // namespace vecsmith
