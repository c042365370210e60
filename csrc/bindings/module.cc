// The extension module byhand._core. Each kernel has the same name here as in byhand.kernels.
#include "bindings/bind.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

using namespace byhand::bindings;

PYBIND11_MODULE(_core_of_main_interpreter, m) {
  m.attr("__version__") = BYHAND_VERSION;
  // Read the environment and the affinity of the process now, so that an impossible BYHAND_ISA or
  // BYHAND_NUM_THREADS is an error at import and not in the middle of a training run.
  byhand::cpu::choose_kernels();
  byhand::cpu::num_threads();
  bind_runtime(m);
  bind_gemm(m);
  bind_linear(m);
  bind_conv2d(m);
  bind_conv2d_pool_act(m);
  bind_pool2d(m);
  bind_activation(m);
  bind_softmax_cross_entropy(m);
  bind_count_correct(m);
  bind_squared_error(m);
  bind_batch_norm(m);
  bind_dropout(m);
  bind_optimizer(m);
  bind_gather(m);
  bind_warp_images(m);
  bind_device_array(m);
  auto testing = m.def_submodule("testing", "Functions that only the tests and the benchmarks need.");
  bind_testing(testing);
}

// Python calls this function to import byhand._core. In a sub-interpreter, pybind11 would wait forever for
// the GIL of the main interpreter, because this thread holds it. So the import is refused there.
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
  if (PyInterpreterState_Get() == PyInterpreterState_Main()) return PyInit__core_of_main_interpreter();
  PyErr_SetString(
      PyExc_ImportError,
      "byhand cannot be imported in a sub-interpreter: import it in the main interpreter, or use a "
      "process instead of a sub-interpreter");
  return nullptr;
}
