#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vecsmith/cpu.hpp"

namespace vecsmith {

/// Bytes that the UTF-8 of `n` code units of `unit` bytes each may touch.
constexpr std::size_t utf8_room(std::size_t n, std::size_t unit) {
  return n * (unit == 1 ? 2 : unit == 2 ? 3 : 4) + 64;
}

/// Writes code points as UTF-8 to `out`, which holds utf8_room() bytes; returns how many it is.
///
/// A surrogate gives its three bytes, which the engine reads as it reads any that are no UTF-8;
/// what is above U+10FFFF gives four.
std::size_t to_utf8(std::span<const std::uint8_t> latin1, char* out,
                    CpuLevel level = best_cpu_level());
std::size_t to_utf8(std::span<const std::uint16_t> ucs2, char* out,
                    CpuLevel level = best_cpu_level());
std::size_t to_utf8(std::span<const std::uint32_t> ucs4, char* out,
                    CpuLevel level = best_cpu_level());

}  // namespace vecsmith
