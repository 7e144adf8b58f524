#pragma once

#include <span>
#include <string_view>

namespace vecsmith {

/// Instruction sets the kernels are compiled for, weakest first; a machine runs kNeon or those
/// behind it, never both.
enum class CpuLevel { kBaseline, kNeon, kSse4, kAvx2, kAvx512, kAmx };

/// Levels that this machine runs, weakest first.
std::span<const CpuLevel> cpu_levels();

/// Strongest level that this machine runs.
CpuLevel best_cpu_level();

/// Level of a name: "baseline", "neon", "sse4", "avx2", "avx512" or "amx"; "" is the best one.
/// Throws std::invalid_argument for another name or a level this machine lacks.
CpuLevel cpu_level_of(std::string_view name);

/// Name of a level.
std::string_view name_of(CpuLevel level);

}  // namespace vecsmith
