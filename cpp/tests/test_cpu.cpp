// Names of kernel levels.

#include <stdexcept>
#include <string>

#include "check.hpp"
#include "kernels/kernels.hpp"
#include "vecsmith/cpu.hpp"

namespace {

using namespace vecsmith;

TEST_CASE(every_level_that_runs_here_is_found_by_its_name) {
  CHECK(cpu_level_of("") == best_cpu_level());
  for (const CpuLevel level :
       {CpuLevel::kBaseline, CpuLevel::kAvx2, CpuLevel::kAvx512, CpuLevel::kAmx}) {
    if (level <= best_cpu_level()) {
      CHECK(cpu_level_of(name_of(level)) == level);
    } else {
      CHECK_THROWS(cpu_level_of(name_of(level)), std::invalid_argument);
    }
  }
}

TEST_CASE(other_names_are_refused_with_the_names_there_are) {
  std::string message;
  try {
    cpu_level_of("AVX2");
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  CHECK_EQ(message, "cpu level 'AVX2', expected baseline, avx2, avx512 or amx");
}

TEST_CASE(the_portable_kernels_are_always_there) {
  CHECK(&kernels::kernels_of(CpuLevel::kBaseline) == &kernels::kBaselineKernels);
}

}  // namespace
