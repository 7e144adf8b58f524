#pragma once

// The loops of search that each instruction set has its own code for. As in kernels.hpp, a level's
// file must not instantiate anything of the standard library.

#include <cstddef>
#include <cstdint>

#include "vecsmith/cpu.hpp"

namespace vecsmith::kernels {

/// Queries that are multiplied with a row together.
inline constexpr std::size_t kGroup = 16;
/// Dimensions to whose multiples queries, and the rows of a group, are padded with zeros.
inline constexpr std::size_t kFloatStep = 16;
inline constexpr std::size_t kInt8Step = 64;
inline constexpr std::size_t kBitsStep = 512;  // of queries
inline constexpr std::size_t kWordBits = 64;   // of the rows of a group

/// Some rows of a table.
struct RowsAt {
  const std::uint8_t* first;
  std::size_t stride;           ///< bytes from a row to the next
  const std::uint32_t* places;  ///< of the rows meant, or null for the first ones in order
};

/// What makes dot products scores; each may be null, for ones and zeros.
struct Affine {
  const float* factors;
  const float* offsets;
};

struct SearchKernels {
  /// out[i] = dot product of a query, which is padded, with the i-th of n rows of `dim` entries.
  /// Of bits it is dim - 2 * differing bits.
  void (*dots_f32)(const float* query, std::size_t dim, const RowsAt& rows, std::size_t n,
                   float* out);
  void (*dots_f16)(const float* query, std::size_t dim, const RowsAt& rows, std::size_t n,
                   float* out);
  void (*dots_i8)(const std::int8_t* query, std::size_t dim, const RowsAt& rows, std::size_t n,
                  std::int32_t* out);
  void (*dots_bits)(const std::uint64_t* query, std::size_t dim, const RowsAt& rows, std::size_t n,
                    std::int32_t* out);

  /// out[i * kGroup + q] = dot product of query q with the i-th of n rows, `stride` bytes apart,
  /// both padded. What stands for q >= n_queries is left open.
  /// float32 queries follow one another, `dim` entries each.
  void (*group_f32)(const float* queries, std::size_t n_queries, std::size_t dim,
                    const std::uint8_t* rows, std::size_t stride, std::size_t n, float* out);
  /// int8: queries[(j / 4 * kGroup + q) * 4 + j % 4] is dimension j of query q.
  void (*group_i8)(const std::int8_t* queries, std::size_t n_queries, std::size_t dim,
                   const std::uint8_t* rows, std::size_t stride, std::size_t n, std::int32_t* out);
  /// bits: queries[w * kGroup + q] is word w of query q; `dim` is not padded here.
  void (*group_bits)(const std::uint64_t* queries, std::size_t n_queries, std::size_t dim,
                     const std::uint8_t* rows, std::size_t stride, std::size_t n,
                     std::int32_t* out);

  /// Widens n halves, which need no alignment.
  void (*widen)(const std::uint8_t* halves, std::size_t n, float* out);

  /// Of n dot products, times `scale` where they are whole, writes the positions and scores of
  /// those that exceed the threshold, in order, and returns how many. Both outputs have room for
  /// n + 16.
  std::size_t (*keep)(const float* dots, const Affine& affine, std::size_t n, float threshold,
                      std::uint32_t* positions, float* scores);
  std::size_t (*keep_whole)(const std::int32_t* dots, float scale, const Affine& affine,
                            std::size_t n, float threshold, std::uint32_t* positions,
                            float* scores);

  /// The same of a group: dots[i * kGroup + q] against thresholds[q]; that is the position.
  std::size_t (*keep_group)(const float* dots, const Affine& affine, std::size_t n,
                            const float* thresholds, std::uint32_t* positions, float* scores);
  std::size_t (*keep_group_whole)(const std::int32_t* dots, const float* scales,
                                  const Affine& affine, std::size_t n, const float* thresholds,
                                  std::uint32_t* positions, float* scores);
};

extern const SearchKernels kBaselineSearch;
#ifdef VECSMITH_X86
extern const SearchKernels kAvx2Search;
extern const SearchKernels kAvx512Search;
#endif
#ifdef VECSMITH_AMX
extern const SearchKernels kAmxSearch;
#endif

#ifdef VECSMITH_AMX
namespace amx {
/// SearchKernels::group_i8 in tile registers, for as many rows as fill tiles; returns how many.
std::size_t group_i8(const std::int8_t* queries, std::size_t dim, const std::uint8_t* rows,
                     std::size_t stride, std::size_t n, std::int32_t* out);
}  // namespace amx
#endif

/// Kernels of a level this machine runs.
const SearchKernels& search_kernels_of(CpuLevel level);

}  // namespace vecsmith::kernels
