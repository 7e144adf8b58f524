#pragma once

#include <string_view>

namespace vecsmith {

/// Instruction sets the kernels are compiled for, weakest first.
enum class CpuLevel { kBaseline, kAvx2, kAvx512, kAmx };

/// Strongest level that this machine runs.
CpuLevel best_cpu_level();

/// Level of a name: "baseline", "avx2", "avx512" or "amx"; "" is the best one.
/// Throws std::invalid_argument for another name or a level this machine lacks.
CpuLevel cpu_level_of(std::string_view name);

/// Name of a level.
std::string_view name_of(CpuLevel level);

}  // namespace vecsmith
