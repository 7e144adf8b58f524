#include "contrast_products.hpp"

#ifdef VECSMITH_AMX

#include <algorithm>

#include "vecsmith/parallel.hpp"

namespace vecsmith {

namespace {

using kernels::amx::kBlock;

constexpr std::size_t kPad = 32;      // numbers behind a row, so rows do not share cache sets
constexpr std::size_t kDepth = 2048;  // candidates whose products are added before the sums rest

std::size_t rounded_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

// The tile registers of this thread, while this lives.
struct Tiles {
  Tiles() { kernels::amx::open_tiles(); }
  ~Tiles() { kernels::amx::close_tiles(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

// Factors rounded to bfloat16. "Pairs" are two rows' numbers side by side, as tiles want their
// right operand; a step is 32 factors of a product: two tiles of 16 pairs x 16 columns.
class TileProducts final : public ContrastProducts {
 public:
  TileProducts(const NestedContrast& contrast, std::size_t block_rows, std::size_t n_threads,
               MemoryPool& pool)
      : contrast_(contrast),
        segments_(contrast.lengths, kBlock),
        width_(segments_.total),
        n_columns_(rounded_up(contrast.candidates.n_rows, kBlock)),
        column_stride_(n_columns_ + kPad),
        left_stride_(width_ + kPad),
        left_(pool, block_rows * left_stride_),
        turned_stride_(block_rows + kPad),
        turned_(pool, width_ * turned_stride_),
        columns_(pool, n_columns_ * width_),
        down_(pool, n_columns_ * width_),
        asked_(pool, segments_.all.size() * block_rows * column_stride_),
        pairs_(pool, segments_.all.size() * block_rows * column_stride_),
        d_queries_(pool, block_rows * width_),
        d_candidates_(pool, width_ * n_columns_) {
    for (std::size_t k = 0; k < segments_.all.size(); ++k) {
      steps_.push_back(segments_.all[k].padded / kBlock);
      plane_of_panel_.insert(plane_of_panel_.end(), steps_.back(), k);
    }
    std::fill_n(d_candidates_.data(), d_candidates_.size(), 0.0F);
    parallel_for(n_columns_ / kBlock, 1, n_threads, [&](std::size_t panel, std::size_t end) {
      std::vector<std::uint16_t> rows(kBlock * width_);
      std::vector<std::uint16_t> pairs(kBlock * width_);
      std::vector<float> wide(width_);
      for (; panel < end; ++panel) pack_candidates(panel, wide, rows, pairs);
    });
  }

  std::size_t row_unit() const override { return kBlock; }
  std::size_t column_unit() const override { return kBlock; }

  void open(std::size_t first_query, std::size_t n_queries, std::size_t n_threads) override {
    n_block_rows_ = rounded_up(n_queries, kBlock);
    parallel_for(n_block_rows_ / kBlock, 1, n_threads, [&](std::size_t panel, std::size_t end) {
      std::vector<float> wide(width_);
      std::vector<std::uint16_t> pairs(kBlock * width_);
      for (; panel < end; ++panel) {
        for (std::size_t r = panel * kBlock; r < (panel + 1) * kBlock; ++r) {
          if (r < n_queries) {
            widen(contrast_.queries, first_query + r, wide.data());
          } else {
            std::ranges::fill(wide, 0.0F);
          }
          kernels::amx::round(wide.data(), width_, left_.data() + r * left_stride_);
        }
        turn_queries(panel, pairs);
        std::fill_n(d_queries_.data() + panel * kBlock * width_, kBlock * width_, 0.0F);
      }
    });
  }

  std::size_t n_dots_tasks() const override { return n_columns_ / kBlock; }

  void dots(std::size_t first_task, std::size_t last_task, Planes& planes) override {
    const Tiles tiles;
    for (std::size_t panel = first_task; panel < last_task; ++panel) {
      for (std::size_t r = 0; r < n_block_rows_; r += kBlock) {
        kernels::amx::dots(left_.data() + r * left_stride_, 2 * left_stride_,
                           columns_.data() + panel * kBlock * width_, steps_.data(), steps_.size(),
                           planes.row(0, r) + panel * kBlock, planes.stride,
                           planes.n_rows * planes.stride);
      }
    }
  }

  void keep(std::size_t r, Planes& planes) override {
    for (std::size_t k = 0; k < steps_.size(); ++k) {
      kernels::amx::round_rows(planes.row(k, r), planes.row(k, r + 1), n_columns_, asked(k, r),
                               asked(k, r + 1), pairs_.data() + (asked(k, r) - asked_.data()));
    }
  }

  std::size_t n_back_tasks() const override { return plane_of_panel_.size() + n_columns_ / kBlock; }

  void back(std::size_t first_task, std::size_t last_task, const Planes& /*planes*/) override {
    const Tiles tiles;
    for (std::size_t task = first_task; task < last_task; ++task) {
      if (task < plane_of_panel_.size()) {
        add_to_queries(task);
      } else {
        add_to_candidates(task - plane_of_panel_.size());
      }
    }
  }

  void write_query(std::size_t r, float* out) const override {
    const float* const row = d_queries_.data() + r * width_;
    for (const auto& segment : segments_.all) {
      std::copy_n(row + segment.at, segment.width, out + segment.begin);
    }
  }

  void write_candidates(std::size_t first, std::size_t last, float* out,
                        std::size_t stride) const override {
    for (std::size_t i = first; i < last; ++i) {
      for (const auto& segment : segments_.all) {
        for (std::size_t d = 0; d < segment.width; ++d) {
          const std::size_t at = segment.at + d;
          const float* const block = block_of(i / kBlock, at / kBlock);
          out[i * stride + segment.begin + d] = block[at % kBlock * kBlock + i % kBlock];
        }
      }
    }
  }

 private:
  void widen(const VectorsView& vectors, std::size_t i, float* row) const {
    const float* const from = vectors.values + i * vectors.dim;
    for (const auto& segment : segments_.all) {
      std::copy_n(from + segment.begin, segment.width, row + segment.at);
      std::fill(row + segment.at + segment.width, row + segment.at + segment.padded, 0.0F);
    }
  }

  // A panel of 32 candidates: as columns of the dot products, and as factors of the way back.
  void pack_candidates(std::size_t panel, std::vector<float>& wide,
                       std::vector<std::uint16_t>& rows, std::vector<std::uint16_t>& pairs) {
    for (std::size_t i = 0; i < kBlock; ++i) {
      const std::size_t candidate = panel * kBlock + i;
      if (candidate < contrast_.candidates.n_rows) {
        widen(contrast_.candidates, candidate, wide.data());
      } else {
        std::ranges::fill(wide, 0.0F);
      }
      kernels::amx::round(wide.data(), width_, rows.data() + i * width_);
    }
    for (std::size_t i = 0; i < kBlock; i += 2) {
      kernels::amx::pair_rows(rows.data() + i * width_, rows.data() + (i + 1) * width_, width_,
                              pairs.data() + i * width_);
    }
    const auto* const units = reinterpret_cast<const std::uint32_t*>(rows.data());
    auto* const columns =
        reinterpret_cast<std::uint32_t*>(columns_.data() + panel * kBlock * width_);
    auto* const down = reinterpret_cast<std::uint32_t*>(down_.data());
    const auto* const paired = reinterpret_cast<const std::uint32_t*>(pairs.data());
    for (std::size_t step = 0; step < width_ / kBlock; ++step) {
      for (std::size_t half = 0; half < 2; ++half) {
        kernels::amx::transpose(units + 16 * half * (width_ / 2) + step * 16, width_ / 2,
                                columns + (2 * step + half) * 256, 16);
        // here `step` is the panel of dimensions and `panel` the step
        std::uint32_t* const tile =
            down + (step * (n_columns_ / kBlock) + panel) * 512 + half * 256;
        for (std::size_t i = 0; i < 16; ++i) {
          std::copy_n(paired + i * width_ + step * kBlock + half * 16, 16, tile + i * 16);
        }
      }
    }
  }

  // The block's queries by dimension: row d holds number d of each query.
  void turn_queries(std::size_t panel, std::vector<std::uint16_t>& pairs) {
    for (std::size_t i = 0; i < kBlock; i += 2) {
      const std::uint16_t* const row = left_.data() + (panel * kBlock + i) * left_stride_;
      kernels::amx::pair_rows(row, row + left_stride_, width_, pairs.data() + i * width_);
    }
    const auto* const paired = reinterpret_cast<const std::uint32_t*>(pairs.data());
    auto* const turned = reinterpret_cast<std::uint32_t*>(turned_.data());
    for (std::size_t d = 0; d < width_; d += 16) {
      kernels::amx::transpose(paired + d, width_, turned + d * (turned_stride_ / 2) + panel * 16,
                              turned_stride_ / 2);
    }
  }

  std::uint16_t* asked(std::size_t k, std::size_t r) {
    return asked_.data() + (k * n_block_rows_ + r) * column_stride_;
  }

  // Sums for 32 dimensions x 32 candidates.
  float* block_of(std::size_t candidates, std::size_t dimensions) {
    return d_candidates_.data() + (candidates * (width_ / kBlock) + dimensions) * kBlock * kBlock;
  }
  const float* block_of(std::size_t candidates, std::size_t dimensions) const {
    return d_candidates_.data() + (candidates * (width_ / kBlock) + dimensions) * kBlock * kBlock;
  }

  void add_to_queries(std::size_t panel) {
    const std::uint16_t* const right = down_.data() + panel * n_columns_ * kBlock;
    for (std::size_t c = 0; c < n_columns_; c += kDepth) {
      const std::size_t depth = std::min(kDepth, n_columns_ - c);
      for (std::size_t r = 0; r < n_block_rows_; r += kBlock) {
        kernels::amx::add_product(asked(plane_of_panel_[panel], r) + c, 2 * column_stride_,
                                  right + c * kBlock, 64, 1024, 2048, depth / kBlock,
                                  d_queries_.data() + r * width_ + panel * kBlock, width_);
      }
    }
  }

  void add_to_candidates(std::size_t panel) {
    const std::size_t pair_stride = 4 * column_stride_;  // bytes of two rows
    for (std::size_t d = 0; d < plane_of_panel_.size(); ++d) {
      const std::uint16_t* const first =
          pairs_.data() + plane_of_panel_[d] * n_block_rows_ * column_stride_;
      kernels::amx::add_product(turned_.data() + d * kBlock * turned_stride_, 2 * turned_stride_,
                                first + 2 * panel * kBlock, pair_stride, 64, 16 * pair_stride,
                                n_block_rows_ / kBlock, block_of(panel, d), kBlock);
    }
  }

  const NestedContrast& contrast_;
  Segments segments_;
  std::size_t width_;
  std::size_t n_columns_;
  std::size_t column_stride_;
  std::size_t n_block_rows_ = 0;
  std::vector<std::size_t> steps_;
  std::vector<std::size_t> plane_of_panel_;
  std::size_t left_stride_;
  PooledArray<std::uint16_t> left_;  // queries of the block
  std::size_t turned_stride_;
  PooledArray<std::uint16_t> turned_;   // the same by dimension
  PooledArray<std::uint16_t> columns_;  // candidates as columns of the dot products
  PooledArray<std::uint16_t> down_;     // candidates as factors of gradients of queries
  PooledArray<std::uint16_t> asked_;    // gradients of the dot products, row by row
  PooledArray<std::uint16_t> pairs_;    // the same in pairs of rows
  PooledArray<float> d_queries_;
  PooledArray<float> d_candidates_;  // in blocks of 32 dimensions x 32 candidates
};

}  // namespace

std::unique_ptr<ContrastProducts> tile_products(const NestedContrast& contrast,
                                                std::size_t block_rows, std::size_t n_threads,
                                                MemoryPool& pool) {
  return std::make_unique<TileProducts>(contrast, block_rows, n_threads, pool);
}

}  // namespace vecsmith

#endif
