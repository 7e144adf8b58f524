#include "vecsmith/cpu.hpp"

#ifdef VECSMITH_X86
#include <cpuid.h>
#endif

#include <stdexcept>
#include <string>

namespace vecsmith {

#ifdef VECSMITH_X86
namespace {

// F16C and LZCNT, which __builtin_cpu_supports of Clang 16 has no names for.
bool has_f16c_and_lzcnt() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx >> 29U & 1U) == 0) return false;
  return __get_cpuid(0x80000001U, &eax, &ebx, &ecx, &edx) != 0 && (ecx >> 5U & 1U) != 0;
}

}  // namespace
#endif

CpuLevel best_cpu_level() {
#ifdef VECSMITH_X86
  // Every flag that the object files of a level are compiled with (CMakeLists.txt) is asked for.
  // That the system keeps the wide registers is part of what "avx2" and "avx512f" ask.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma") &&
                    has_f16c_and_lzcnt();
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
      throw std::invalid_argument("cpu level " + std::string(name) +
                                  " but this machine runs at most " + std::string(name_of(best)));
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
