#include <cstdlib>

#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "core/check.h"
#include "core/scratch.h"
#include "cpu/runtime/machine.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::bindings {
namespace {

py::dict config() {
  py::dict result;
  result["version"] = BYHAND_VERSION;
#if defined(__clang__)
  result["compiler"] = "Clang " __clang_version__;
#else
  result["compiler"] = "GCC " __VERSION__;
#endif
  py::list sets;
  for (const cpu::IsaStatus& isa : cpu::isas()) {
    py::dict row;
    row["name"] = isa.name, row["built"] = isa.built, row["runs_here"] = isa.runs_here,
    row["active"] = isa.active, row["for_tests"] = isa.for_tests, row["tested"] = isa.tested;
    sets.append(row);
  }
  result["instruction_sets"] = sets;
  result["threads"] = cpu::wanted_threads();
  result["running_threads"] = cpu::num_threads();
  result["usable_cpus"] = cpu::usable_cpus();
  return result;
}

py::array empty(py::handle shape_object, py::handle device_object) {
  const auto device = parse_string(device_object, "device");
  require(device == "cpu", "device must be \"cpu\", got \"", device, "\"");
  const Shape shape = parse_shape(shape_object, "shape");
  size_t bytes = sizeof(float);
  for (const int64_t d : shape) bytes *= static_cast<size_t>(d);
  constexpr size_t kLine = kCacheLineBytes;
  void* const memory = std::aligned_alloc(kLine, (bytes / kLine + 1) * kLine);
  if (memory == nullptr) throw std::bad_alloc();
  return py::array_t<float>(shape, static_cast<float*>(memory), py::capsule(memory, std::free));
}

}  // namespace

void bind_runtime(py::module_& m) {
  m.def("config", config, R"(What show_config() prints, as a dictionary.

Of each instruction set "tested" says what tests on this machine run: "instructions"; "geometry" where they
run its lanes and masks in plain code alone; None where they run nothing of it. A set "for_tests" is never
chosen by itself.)");
  m.def("get_num_threads", cpu::wanted_threads, R"(Return the number of threads that a kernel may use.

At import it is BYHAND_NUM_THREADS if that is set, otherwise OMP_NUM_THREADS if that is a number, otherwise the
number of processors that the affinity mask and the cgroup allow.)");
  m.def(
      "set_num_threads",
      [](py::handle n) {
        const int64_t count = parse_integer(n, "n");
        require(count >= 1 && count <= cpu::kMaxThreads, "n must be a whole number from 1 to ",
                cpu::kMaxThreads, ", got ", count);
        cpu::set_num_threads(static_cast<int>(count));
      },
      py::arg("n"), R"(Set the number of threads that a kernel may use, from 1 to 256.

A kernel never runs more threads than there were usable processors when byhand was imported, whatever the
number: more would only take turns. The results have the same bits for any number.)");
  m.def("empty", empty, py::arg("shape"), py::arg("device") = "cpu", R"(A new float32 array, uninitialised.

Its first value lies at a multiple of 64 bytes, a cache line. `shape` is an int or a tuple; `device`
is "cpu".)");
}

}  // namespace byhand::bindings
