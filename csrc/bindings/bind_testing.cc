#include <pybind11/stl.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/conv2d_geometry.h"
#include "bindings/gil.h"
#include "core/check.h"
#include "core/scratch.h"
#include "cpu/conv2d/method.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/peak.h"
#include "cpu/runtime/registry.h"

namespace byhand::bindings {
namespace {

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
    case cpu::ConvMethod::kPointwise:  // the argument `algorithm` calls both "direct"
      return "direct";
    case cpu::ConvMethod::kWinograd:
      return "winograd";
    case cpu::ConvMethod::kWinogradRows:
      return "winograd_rows";
  }
  return {};
}

// The device and its name are never freed, because arrays may be on the device until the process ends.
py::capsule device_without_operators(const std::string& name, bool is_gpu) {
  const Device& cpu = cpu_device();
  const auto* const device = new Device{.name = (new std::string(name))->c_str(),
                                        .is_gpu = is_gpu,
                                        .allocate = cpu.allocate,
                                        .release = cpu.release,
                                        .release_cached = []() -> size_t { return 0; },
                                        .from_host = cpu.from_host,
                                        .to_host = cpu.to_host,
                                        .copy = cpu.copy,
                                        .fill = cpu.fill,
                                        .wait = cpu.wait,
                                        .synchronize = cpu.synchronize};
  return py::capsule(device, "byhand.Device");
}

}  // namespace

void bind_testing(py::module_& m) {
  m.def(
      "isas",
      [] {
        std::vector<std::string> names;
        for (const cpu::IsaStatus& isa : cpu::isas())
          if (isa.runs_here) names.push_back(isa.name);
        return names;
      },
      "Return the instruction sets that this build has and this CPU runs, from the simplest to the best. "
      "They include those that only tests use.");
  m.def(
      "isa",
      [] {
        for (const cpu::IsaStatus& isa : cpu::isas())
          if (isa.active) return isa.name;
        return std::string();
      },
      "Return the name of the instruction set in use.");
  m.def("set_isa", cpu::set_isa, py::arg("name"),
        "Use the instruction set `name` for all later calls. No kernel may run during this call.");
  m.def("default_num_threads", cpu::default_num_threads,
        "Return what get_num_threads() returns after the import.");
  m.def(
      "set_thread_limit", cpu::set_thread_limit, py::arg("limit"),
      "Set the largest number of threads that a call uses. At first, it is the number of usable processors.");
  m.def("scratch_peak", scratch_peak,
        "Return the largest number of bytes of scratch memory that all threads together have had since the "
        "last call of this function.");
  m.def("fma_peak", cpu::fma_peak, py::arg("seconds"), py::call_guard<GilRelease>(),
        "Measure the floating-point operations per second of one thread that only multiplies and adds in "
        "registers.");
  m.def("memory_rate", cpu::memory_rate, py::arg("bytes"), py::arg("seconds"), py::call_guard<GilRelease>(),
        "Measure how many bytes per second one thread reads and writes while it adds one array to another "
        "repeatedly. Both arrays together have `bytes` bytes.");
  m.def("conv_method", conv_method, py::arg("function"), py::arg("x_shape"), py::arg("weight_shape"),
        py::kw_only(), py::arg("stride") = 1, py::arg("padding") = 0, py::arg("dilation") = 1,
        py::arg("groups") = 1, py::arg("algorithm") = "auto",
        R"(Return the method by which `function` computes its result for these arguments.

"winograd" is Winograd's algorithm along both axes, "winograd_rows" applies it along the rows only, and
"direct" is any other method.
conv2d_pool_act uses the method of conv2d. Its backward function uses the methods of conv2d_backward_input and
conv2d_backward_weight.)");
  m.def("device_without_operators", device_without_operators, py::arg("name"), py::arg("is_gpu") = false,
        "Make a device for add_device(). Its memory is that of the CPU, and it has no operators.");
}

}  // namespace byhand::bindings
