#include "vecsmith/cpu.hpp"

#include <stdexcept>
#include <string>

namespace vecsmith {

CpuLevel best_cpu_level() {
#ifdef VECSMITH_X86
  // Every flag that the object files of a level are compiled with (CMakeLists.txt) is asked for.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("lzcnt") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi") &&
                      __builtin_cpu_supports("avx512vbmi2");
  if (avx512) return CpuLevel::kAvx512;
  if (avx2) return CpuLevel::kAvx2;
#endif
  return CpuLevel::kBaseline;
}

CpuLevel cpu_level_of(std::string_view name) {
  const CpuLevel best = best_cpu_level();
  if (name.empty()) return best;
  for (const CpuLevel level : {CpuLevel::kBaseline, CpuLevel::kAvx2, CpuLevel::kAvx512}) {
    if (name != name_of(level)) continue;
    if (level > best) {
      throw std::invalid_argument("cpu level " + std::string(name) + " but this machine runs at most " +
                                  std::string(name_of(best)));
    }
    return level;
  }
  throw std::invalid_argument("cpu level '" + std::string(name) +
                              "', expected baseline, avx2 or avx512");
}

std::string_view name_of(CpuLevel level) {
  switch (level) {
    case CpuLevel::kAvx512:
      return "avx512";
    case CpuLevel::kAvx2:
      return "avx2";
    case CpuLevel::kBaseline:
      break;
  }
  return "baseline";
}

}  // namespace vecsmith
