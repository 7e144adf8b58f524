#pragma once

// The loops of contrastive training that each instruction set has its own code for. As in
// kernels.hpp, a level's file must not instantiate anything of the standard library.

#include <cstddef>
#include <cstdint>

#include "vecsmith/cpu.hpp"

namespace vecsmith::kernels {

/// A dot product that does not count: its logit is far below any other, and yet finite.
inline constexpr float kExcludedDot = -3e38F;

/// What a row of logits is asked for; logits are kept as powers of two.
struct Asked {
  float factor;        ///< dot product times this times the column's scale is the logit
  float total;         ///< logarithm of the row's soft-max denominator
  float share;         ///< weight of the row's soft-max
  float column_share;  ///< weight of the columns' soft-max, where that is asked for too
  float back;          ///< gradient of a dot product is that of its logit times this and the scale
};

/// One step of AdamW for one row.
struct AdamStep {
  float clip;            ///< factor of the gradient
  float beta1, beta2;    ///< decay of the moments for all steps since the row was touched
  float fresh1, fresh2;  ///< what a gradient adds to them
  float correction;      ///< 1 / root of the second moment's bias correction
  float eps;
  float rate;  ///< learning rate over the first moment's bias correction
  float keep;  ///< 1 - learning rate * weight decay
};

struct ContrastKernels {
  std::size_t tile_rows;  ///< shape of the tile of a product that stays in registers
  std::size_t tile_cols;

  /// Dot products of tile_rows left and tile_cols right vectors over `depth` entries, added to
  /// those in `base` (null for none, else laid out as `out`): out[r * stride + c]. Operands are
  /// packed: left[d * tile_rows + r], right[d * tile_cols + c].
  void (*dots)(const float* left, const float* right, std::size_t depth, const float* base,
               float* out, std::size_t stride);

  /// out[r * stride + c] += sum over d of left[r * row_step + d * depth_step] *
  /// right[d * tile_cols + c], for a tile.
  void (*add_product)(const float* left, std::size_t row_step, std::size_t depth_step,
                      const float* right, std::size_t depth, float* out, std::size_t stride);

  /// Cuts n numbers into pieces of tile_rows, each to its place: the i-th to out + i * step.
  void (*cut)(const float* row, std::size_t n, float* out, std::size_t step);

  /// Sum of squares of n numbers, in 16 running sums at every level.
  float (*sum_of_squares)(const float* x, std::size_t n);

  /// Largest logit of a row. Here and below n is a multiple of tile_cols.
  float (*highest)(const float* dots, const float* scales, float factor, std::size_t n);

  /// Sum of 2^(logit - highest) over a row.
  float (*sum_of_powers)(const float* dots, const float* scales, float factor, float highest,
                         std::size_t n);

  /// highests[c] = max(highests[c], logit), and sums[c] += 2^(logit - highests[c]).
  void (*raise_columns)(const float* dots, const float* scales, float factor, float* highests,
                        std::size_t n);
  void (*add_powers)(const float* dots, const float* scales, float factor, const float* highests,
                     float* sums, std::size_t n);

  /// Replaces a row's dot products by their gradients plus those of the longer prefix (null for
  /// none), without the pairs' own share. With g the gradient of a logit l, adds g * l to
  /// column_pulls and returns its sum over the row. `column_totals` may be null.
  float (*ask)(float* dots, const float* longer, const float* scales, const float* column_totals,
               float* column_pulls, const Asked& asked, std::size_t n);

  /// Rounds n numbers to bfloat16 and back, to the nearest, ties to even.
  void (*round_to_bfloat16)(float* x, std::size_t n);

  /// out[j] -= x[j] * factor.
  void (*subtract_scaled)(float* out, const float* x, float factor, std::size_t n);

  /// A step of AdamW on n numbers.
  void (*adam)(float* values, float* first, float* second, const float* gradient, std::size_t n,
               const AdamStep& step);

  /// Sum of x[j] * y[j] in 16 running sums at every level.
  float (*dot)(const float* x, const float* y, std::size_t n);

  /// out[j] = x[j] * factor.
  void (*scale)(float* x, float factor, std::size_t n);
};

extern const ContrastKernels kBaselineContrast;
#ifdef VECSMITH_X86
extern const ContrastKernels kAvx2Contrast;
extern const ContrastKernels kAvx512Contrast;
#endif

/// Kernels of a level this machine runs.
const ContrastKernels& contrast_kernels_of(CpuLevel level);

#ifdef VECSMITH_AMX
/// Products of bfloat16 factors with float32 sums in the processor's tile registers, for blocks of
/// 32 x 32 and depths of 32. Steps and strides are in bytes.
namespace amx {

inline constexpr std::size_t kBlock = 32;

/// To be called by a thread before and after it uses the functions below.
void open_tiles();
void close_tiles();

/// As ContrastKernels::dots; `left` is row-major, `right` in steps of two tiles of 16 pairs of
/// rows by 16 columns.
void dots(const std::uint16_t* left, std::size_t left_stride, const std::uint16_t* right,
          const std::size_t* n_steps, std::size_t n_planes, float* out, std::size_t stride,
          std::size_t plane);

/// out += left @ right over n_steps * 32 factors: `left` is row-major; step s of `right` begins at
/// s * right_step and holds 16 rows of 16 pairs, `right_stride` apart, twice, `right_second` apart.
void add_product(const std::uint16_t* left, std::size_t left_stride, const std::uint16_t* right,
                 std::size_t right_stride, std::size_t right_second, std::size_t right_step,
                 std::size_t n_steps, float* out, std::size_t stride);

/// Rounds n numbers, a multiple of 32, to bfloat16.
void round(const float* x, std::size_t n, std::uint16_t* out);

/// Rounds two rows of n numbers, a multiple of 32: each row by itself, and both as pairs.
void round_rows(const float* row0, const float* row1, std::size_t n, std::uint16_t* out0,
                std::uint16_t* out1, std::uint16_t* pairs);

/// Pairs from two rows of n rounded numbers, a multiple of 32.
void pair_rows(const std::uint16_t* row0, const std::uint16_t* row1, std::size_t n,
               std::uint16_t* pairs);

/// Transposes 16 x 16 units of 32 bits; strides in units.
void transpose(const std::uint32_t* in, std::size_t in_stride, std::uint32_t* out,
               std::size_t out_stride);

}  // namespace amx
#endif

}  // namespace vecsmith::kernels
