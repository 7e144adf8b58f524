#include "vecsmith/cpu.hpp"

#ifdef VECSMITH_X86
#include <cpuid.h>
#endif
#ifdef VECSMITH_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string>

namespace vecsmith {

namespace {

constexpr CpuLevel kLevels[] = {
    CpuLevel::kBaseline,
#ifdef VECSMITH_NEON
    CpuLevel::kNeon,
#endif
#ifdef VECSMITH_X86
    CpuLevel::kSse4,     CpuLevel::kAvx2, CpuLevel::kAvx512, CpuLevel::kAmx,
#endif
};

#ifdef VECSMITH_X86
// F16C and LZCNT, which __builtin_cpu_supports of Clang 16 has no names for.
bool has_f16c_and_lzcnt() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx >> 29U & 1U) == 0) return false;
  return __get_cpuid(0x80000001U, &eax, &ebx, &ecx, &edx) != 0 && (ecx >> 5U & 1U) != 0;
}

// Tile registers with products of bfloat16 and int8, the instructions that round to bfloat16, and
// the system's leave to use them: Linux gives the large registers only to processes that ask.
// Asking twice is harmless.
bool may_use_tiles() {
#ifdef VECSMITH_AMX
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx >> 22U & 1U) == 0 || (edx >> 24U & 3U) != 3U) return false;
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) == 0 || (eax >> 5U & 1U) == 0) return false;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

#endif

CpuLevel found_cpu_level() {
#ifdef VECSMITH_NEON
  return CpuLevel::kNeon;  // every 64-bit Arm has it
#elif defined(VECSMITH_X86)
  // Every flag that the object files of a level are compiled with (CMakeLists.txt) is asked for.
  // That the system keeps the wide registers is part of what "avx2" and "avx512f" ask.
  const bool sse4 = __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.2") &&
                    __builtin_cpu_supports("popcnt");
  const bool avx2 = sse4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma") &&
                    has_f16c_and_lzcnt();
  const bool avx512 =
      avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vpopcntdq");
  if (avx512) return may_use_tiles() ? CpuLevel::kAmx : CpuLevel::kAvx512;
  if (avx2) return CpuLevel::kAvx2;
  return sse4 ? CpuLevel::kSse4 : CpuLevel::kBaseline;
#else
  return CpuLevel::kBaseline;
#endif
}

}  // namespace

CpuLevel best_cpu_level() {
  // Asked once: a virtual machine answers in some 10 us, longer than a short search takes.
  static const CpuLevel best = found_cpu_level();
  return best;
}

std::span<const CpuLevel> cpu_levels() {
  const auto* const best = std::ranges::find(kLevels, best_cpu_level());
  return {std::begin(kLevels), best + 1};
}

CpuLevel cpu_level_of(std::string_view name) {
  const CpuLevel best = best_cpu_level();
  if (name.empty()) return best;
  for (const CpuLevel level : {CpuLevel::kBaseline, CpuLevel::kNeon, CpuLevel::kSse4,
                               CpuLevel::kAvx2, CpuLevel::kAvx512, CpuLevel::kAmx}) {
    if (name != name_of(level)) continue;
    if (std::ranges::find(cpu_levels(), level) == cpu_levels().end()) {
      throw std::invalid_argument("cpu level " + std::string(name) +
                                  " but this machine runs at most " + std::string(name_of(best)));
    }
    return level;
  }
  throw std::invalid_argument("cpu level '" + std::string(name) +
                              "', expected baseline, neon, sse4, avx2, avx512 or amx");
}

std::string_view name_of(CpuLevel level) {
  switch (level) {
    case CpuLevel::kAmx:
      return "amx";
    case CpuLevel::kAvx512:
      return "avx512";
    case CpuLevel::kAvx2:
      return "avx2";
    case CpuLevel::kSse4:
      return "sse4";
    case CpuLevel::kNeon:
      return "neon";
    case CpuLevel::kBaseline:
      break;
  }
  return "baseline";
}

}  // namespace vecsmith
