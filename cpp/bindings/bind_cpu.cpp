#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "vecsmith/cpu.hpp"

namespace nb = nanobind;
using namespace nb::literals;

void bind_cpu(nb::module_& m) {
  m.def(
      "cpu_level",
      [](const std::string& name) {
        return std::string(vecsmith::name_of(vecsmith::cpu_level_of(name)));
      },
      "name"_a = "", "Name of a kernel level this machine runs; the best one for an empty name.");
  m.def(
      "cpu_levels",
      [] {
        std::vector<std::string> names;
        for (const vecsmith::CpuLevel level : vecsmith::cpu_levels()) {
          names.emplace_back(vecsmith::name_of(level));
        }
        return names;
      },
      "Names of the kernel levels that this machine runs, weakest first.");
}
