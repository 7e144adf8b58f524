// Names of kernel levels.

#include <algorithm>
#include <stdexcept>
#include <string>

#include "check.hpp"
#include "kernels/kernels.hpp"
#include "vecsmith/cpu.hpp"

namespace {

using namespace vecsmith;

TEST_CASE(every_level_that_runs_here_is_found_by_its_name) {
  CHECK(cpu_level_of("") == best_cpu_level());
  const auto here = cpu_levels();
  CHECK(here.front() == CpuLevel::kBaseline && here.back() == best_cpu_level());
  for (const CpuLevel level : {CpuLevel::kBaseline, CpuLevel::kNeon, CpuLevel::kSse4,
                               CpuLevel::kAvx2, CpuLevel::kAvx512, CpuLevel::kAmx}) {
    if (std::ranges::find(here, level) != here.end()) {
      CHECK(cpu_level_of(name_of(level)) == level);
    } else {
      CHECK_THROWS(cpu_level_of(name_of(level)), std::invalid_argument);
    }
  }
}

TEST_CASE(each_level_has_kernels_of_its_own) {
  for (const CpuLevel level : cpu_levels()) {
    if (level == CpuLevel::kAmx) continue;  // sums and scans as AVX-512 does
    for (const CpuLevel other : cpu_levels()) {
      if (other >= level) break;
      CHECK(&kernels::kernels_of(level) != &kernels::kernels_of(other));
    }
  }
}

TEST_CASE(a_64_bit_arm_runs_neon_and_nothing_of_intel) {
#ifdef __aarch64__
  CHECK(best_cpu_level() == CpuLevel::kNeon);
  CHECK_EQ(cpu_levels().size(), 2U);
#else
  CHECK_THROWS(cpu_level_of("neon"), std::invalid_argument);
#endif
}

TEST_CASE(other_names_are_refused_with_the_names_there_are) {
  std::string message;
  try {
    cpu_level_of("AVX2");
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  CHECK_EQ(message, "cpu level 'AVX2', expected baseline, neon, sse4, avx2, avx512 or amx");
}

TEST_CASE(the_portable_kernels_are_always_there) {
  CHECK(&kernels::kernels_of(CpuLevel::kBaseline) == &kernels::kBaselineKernels);
}

}  // namespace
