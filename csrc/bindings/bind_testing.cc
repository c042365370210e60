#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "core/check.h"
#include "cpu/gemm_ladder.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/peak.h"
#include "cpu/runtime/registry.h"

namespace byhand::bindings {
namespace {

py::array gemm_ladder(const std::string& step, py::handle a_object, py::handle b_object,
                      py::handle out_object) {
  const Input a(a_object, "a", 2), b(b_object, "b", 2);
  require(a.shape()[1] == b.shape()[0], "b must have ", a.shape()[1], " rows, as many as a has columns, got ",
          b.shape()[0]);
  const int64_t m = a.shape()[0], n = b.shape()[1], k = b.shape()[0];
  require(m > 0 && n > 0 && k > 0, "a and b must not be empty, got shapes ", a.shape(), " and ", b.shape());
  const Output<float> out(out_object, "out", {m, n}, {a.original(), b.original()});
  without_gil(
      [&] { cpu::ladder_multiply(step, {a.data(), m, k, k, 1}, {b.data(), k, n, n, 1}, out.data()); });
  return out.array();
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
  m.def("memory_rate", cpu::memory_rate, py::arg("bytes"), py::arg("seconds"),
        py::call_guard<py::gil_scoped_release>(),
        "Bytes a second that one thread reads and writes, over and over the same `bytes`.");
  m.def("gemm_ladder_steps", cpu::ladder_steps, "The steps from three loops to gemm.");
  m.def("gemm_ladder", gemm_ladder, py::arg("step"), py::arg("a"), py::arg("b"), py::arg("out") = py::none(),
        "a @ b, C-contiguous, by one of gemm_ladder_steps(); the last uses all threads, the others one.");
}

}  // namespace byhand::bindings
