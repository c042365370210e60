#include <pybind11/stl.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/conv2d_geometry.h"
#include "core/check.h"
#include "cpu/conv2d/method.h"
#include "cpu/gemm/ladder.h"
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

std::string conv_method(py::handle function, py::handle x_shape, py::handle weight_shape, py::handle stride,
                        py::handle padding, py::handle dilation, py::handle groups, py::handle algorithm) {
  constexpr std::pair<const char*, cpu::ConvDirection> kDirections[] = {
      {"conv2d", cpu::ConvDirection::kForward},
      {"conv2d_backward_input", cpu::ConvDirection::kInputGradient},
      {"conv2d_backward_weight", cpu::ConvDirection::kWeightGradient}};
  const auto name = parse_string(function, "function");
  const auto direction =
      std::find_if(std::begin(kDirections), std::end(kDirections), [&](auto& d) { return name == d.first; });
  require(direction != std::end(kDirections),
          "function must be \"conv2d\", \"conv2d_backward_input\" or \"conv2d_backward_weight\", got \"",
          name, "\"");
  const Geometry geometry(stride, padding, dilation, groups, algorithm);
  const Conv2dShape s =
      geometry.shape(parse_shape(x_shape, "x_shape", 4), parse_shape(weight_shape, "weight_shape", 4));
  switch (cpu::conv_method(s, geometry.algorithm, direction->second)) {
    case cpu::ConvMethod::kDirect:
    case cpu::ConvMethod::kPointwise:  // the name of `algorithm`
      return "direct";
    case cpu::ConvMethod::kWinograd:
      return "winograd";
    case cpu::ConvMethod::kWinogradRows:
      return "winograd_rows";
  }
  return {};
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
  m.def("set_thread_limit", cpu::set_thread_limit, py::arg("limit"),
        "The most threads that a call uses; at first the number of usable processors.");
  m.def("fma_peak", cpu::fma_peak, py::arg("seconds"), py::call_guard<GilRelease>(),
        "Floating-point operations a second of one thread that does nothing but multiply-adds in registers.");
  m.def("memory_rate", cpu::memory_rate, py::arg("bytes"), py::arg("seconds"), py::call_guard<GilRelease>(),
        "Bytes a second that one thread reads and writes, over and over the same `bytes`.");
  m.def("gemm_ladder_steps", cpu::ladder_steps, "The steps from three loops to gemm.");
  m.def("gemm_ladder", gemm_ladder, py::arg("step"), py::arg("a"), py::arg("b"), py::arg("out") = py::none(),
        "a @ b, C-contiguous, by one of gemm_ladder_steps(); the last uses all threads, the others one.");
  m.def("conv_method", conv_method, py::arg("function"), py::arg("x_shape"), py::arg("weight_shape"),
        py::kw_only(), py::arg("stride") = 1, py::arg("padding") = 0, py::arg("dilation") = 1,
        py::arg("groups") = 1, py::arg("algorithm") = "auto",
        R"(How this function computes it with these arguments: "direct", "winograd", of both axes, or
"winograd_rows".

conv2d_pool_act does as conv2d, its backward as conv2d_backward_input where it makes that gradient and as
conv2d_backward_weight elsewhere.)");
}

}  // namespace byhand::bindings
