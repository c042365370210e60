#include "bindings/bind.h"
#include "bindings/device_array.h"
#include "bindings/function.h"
#include "core/check.h"
#include "cpu/runtime/machine.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::bindings {
namespace {

py::object config() {
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
    row["name"] = isa.name, row["runs_here"] = isa.runs_here, row["active"] = isa.active,
    row["for_tests"] = isa.for_tests, row["tested"] = isa.tested;
    sets.append(row);
  }
  result["instruction_sets"] = sets;
  result["threads"] = cpu::wanted_threads();
  result["running_threads"] = cpu::num_threads();
  result["usable_cpus"] = cpu::usable_cpus();
  return result;
}

py::object empty(py::handle shape_object, py::handle device_object) {
  const Device& device = device_named(parse_string(device_object, "device"));
  const Shape shape = parse_shape(shape_object, "shape");
  if (&device != &cpu_device()) return py::cast(DeviceArray(device, py::dtype::of<float>(), shape));
  size_t bytes = sizeof(float);
  for (const int64_t d : shape) bytes *= static_cast<size_t>(d);
  void* const memory = device.allocate(bytes);
  return py::array_t<float>(shape, static_cast<float*>(memory), py::capsule(memory, device.release));
}

py::object get_num_threads() { return py::int_(cpu::wanted_threads()); }

void set_num_threads(py::handle n) {
  const int64_t count = parse_integer(n, "n");
  require(count >= 1 && count <= cpu::kMaxThreads, "n must be a whole number from 1 to ", cpu::kMaxThreads,
          ", got ", count);
  cpu::set_num_threads(static_cast<int>(count));
}

py::object release_memory() { return py::int_(release_cached_memory()); }

}  // namespace

void bind_runtime(py::module_& m) {
  define<config>(m, "config()", R"(Return the configuration that show_config prints, as a dictionary.

Returns
-------
dict
    The keys are:

    - "version" and "compiler";
    - "threads", the number of threads that the user or the environment asked for;
    - "running_threads", the number of threads that kernels use;
    - "usable_cpus", the number of processors that this process may use;
    - "instruction_sets", a list with one dictionary for each instruction set of this build.

    The keys of such a dictionary are:

    - "name";
    - "runs_here", whether this CPU has it;
    - "active", whether kernels use it;
    - "for_tests", whether only tests use it;
    - "tested", what tests on this machine can check: "instructions" if the kernels for the
      instruction set run here, "geometry" if only kernels with the same lanes and masks run here,
      such as an imitation in plain C++, and None if neither runs here.)");
  define<get_num_threads>(m, "get_num_threads()", R"(Return the number of threads that a kernel may use.

After the import of byhand, the number is BYHAND_NUM_THREADS if that is set, otherwise
OMP_NUM_THREADS if that is a number, otherwise the number of processors that the affinity mask
and the cgroup allow.

Returns
-------
int
    The number of threads.)");
  define<set_num_threads>(m, "set_num_threads(n)", R"(Set the number of threads that a kernel may use.

The results have the same bits for any number of threads. A kernel never runs more threads than
there were usable processors when byhand was imported, because more threads would have to wait
for a processor.

Parameters
----------
n : int
    The number of threads, from 1 to 256.

Raises
------
TypeError
    If n is not an integer.
ValueError
    If n is out of range.)");
  define<release_memory>(m, "release_memory()", R"(Free the memory that byhand keeps for later calls.

Each thread keeps the workspace of its last kernels, at most 64 MiB, because allocating it again
takes longer than many kernels. A GPU keeps the memory of arrays that are gone. This function frees
both. Memory that a kernel is using at the moment is not freed.

Returns
-------
int
    The number of bytes that were freed.)");
  define<empty>(m, "empty(shape, device='cpu')", R"(Make a float32 array with undefined values.

Parameters
----------
shape : int or sequence of int
    Shape of the array.
device : {"cpu", "cuda"}, default "cpu"
    The device whose memory holds the array.

Returns
-------
ndarray, or DeviceArray for a device other than the CPU, float32
    The array, C-contiguous. Its first value lies at a multiple of 64 bytes, the start of a
    cache line.

Raises
------
TypeError
    If a size is not an integer, or device is not a string.
ValueError
    If a size is negative, the array would have more than 32 dimensions or more than 2**60
    bytes, or the device is unknown.)");
}

}  // namespace byhand::bindings
