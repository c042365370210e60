#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>

#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::bindings {
namespace {

// The best of many short runs: what the core can do when nothing disturbs it.
double fma_peak(double seconds) {
  using Clock = std::chrono::steady_clock;
  const py::gil_scoped_release release;
  const cpu::PeakKernels& k = cpu::kernels().peak;
  constexpr int64_t kSteps = 100'000;
  double best = 0;
  volatile float kept = 0;  // so that the work is not optimised away
  for (const auto begin = Clock::now();
       std::chrono::duration<double>(Clock::now() - begin).count() < seconds;) {
    const auto start = Clock::now();
    kept = kept + k.fma_chains(kSteps);
    const double time = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, static_cast<double>(kSteps) * k.flops_per_step / time);
  }
  return best;
}

}  // namespace

void bind_testing(py::module_& m) {
  m.def(
      "isas",
      [] {
        std::vector<std::string> names;
        for (const cpu::IsaStatus& isa : cpu::isas())
          if (isa.built && isa.runs_here) names.push_back(isa.name);
        return names;
      },
      "The instruction sets that this build has and this CPU runs, from the plainest to the best.");
  m.def(
      "isa",
      [] {
        for (const cpu::IsaStatus& isa : cpu::isas())
          if (isa.active) return isa.name;
        return std::string();
      },
      "The instruction set in use.");
  m.def("set_isa", cpu::set_isa, py::arg("name"), "Uses this instruction set from the next call on.");
  m.def("default_num_threads", cpu::default_num_threads, "What get_num_threads() returns at first.");
  m.def("fma_peak", fma_peak, py::arg("seconds"),
        "Floating-point operations a second of one thread that does nothing but multiply-adds in registers.");
}

}  // namespace byhand::bindings
