// Dot products of int8 in tile registers (Sapphire Rapids and later): sixteen rows by sixteen
// queries by 64 dimensions in one instruction.

#include "search.hpp"

#ifdef VECSMITH_AMX

#include "contrast.hpp"

// GCC 12 sees its own undefined-value intrinsics as uninitialised (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif
#include <immintrin.h>

namespace vecsmith::kernels::amx {

namespace {

constexpr std::size_t kHeight = 16;  // rows of a tile
constexpr std::size_t kTile = 1024;  // bytes
constexpr std::size_t kLine = kGroup * sizeof(std::int32_t);

// The queries' tile serves four tiles of rows: loads then take less time than products.
void multiply_four(const std::int8_t* queries, std::size_t dim, const std::uint8_t* rows,
                   std::size_t stride, std::int32_t* out) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const std::size_t height = kHeight * stride;
  for (std::size_t j = 0; j < dim; j += kInt8Step, rows += kInt8Step, queries += kTile) {
    _tile_loadd(7, queries, 64);
    _tile_loadd(4, rows, stride);
    _tile_dpbssd(0, 4, 7);
    _tile_loadd(5, rows + height, stride);
    _tile_dpbssd(1, 5, 7);
    _tile_loadd(6, rows + 2 * height, stride);
    _tile_dpbssd(2, 6, 7);
    _tile_loadd(4, rows + 3 * height, stride);
    _tile_dpbssd(3, 4, 7);
  }
  _tile_stored(0, out, kLine);
  _tile_stored(1, out + kHeight * kGroup, kLine);
  _tile_stored(2, out + 2 * kHeight * kGroup, kLine);
  _tile_stored(3, out + 3 * kHeight * kGroup, kLine);
}

void multiply_one(const std::int8_t* queries, std::size_t dim, const std::uint8_t* rows,
                  std::size_t stride, std::int32_t* out) {
  _tile_zero(0);
  for (std::size_t j = 0; j < dim; j += kInt8Step, rows += kInt8Step, queries += kTile) {
    _tile_loadd(7, queries, 64);
    _tile_loadd(4, rows, stride);
    _tile_dpbssd(0, 4, 7);
  }
  _tile_stored(0, out, kLine);
}

}  // namespace

std::size_t group_i8(const std::int8_t* queries, std::size_t dim, const std::uint8_t* rows,
                     std::size_t stride, std::size_t n, std::int32_t* out) {
  open_tiles();
  std::size_t i = 0;
  for (; i + 4 * kHeight <= n; i += 4 * kHeight) {
    multiply_four(queries, dim, rows + i * stride, stride, out + i * kGroup);
  }
  for (; i + kHeight <= n; i += kHeight) {
    multiply_one(queries, dim, rows + i * stride, stride, out + i * kGroup);
  }
  close_tiles();
  return i;
}

}  // namespace vecsmith::kernels::amx

#endif
