#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/peak.h"
#include "cpu/runtime/registry.h"

namespace byhand::bindings {
void bind_testing(py::module_& m) {
  m.def(
      "isas",
      [] {
        std::vector<std::string> names;
        for (const cpu::IsaStatus& isa : cpu::isas())
          if (isa.built && isa.runs_here) names.push_back(isa.name);
        return names;
      },
      "The instruction sets that this build has and this CPU runs, those for tests too, from the plainest to "
      "the best.");
  m.def(
      "isa",
      [] {
        for (const cpu::IsaStatus& isa : cpu::isas())
          if (isa.active) return isa.name;
        return std::string();
      },
      "The instruction set in use.");
  m.def("set_isa", cpu::set_isa, py::arg("name"),
        "Uses this instruction set from the next call on; no kernel may be running.");
  m.def("default_num_threads", cpu::default_num_threads, "What get_num_threads() returns at first.");
  m.def("fma_peak", cpu::fma_peak, py::arg("seconds"), py::call_guard<py::gil_scoped_release>(),
        "Floating-point operations a second of one thread that does nothing but multiply-adds in registers.");
}

}  // namespace byhand::bindings
