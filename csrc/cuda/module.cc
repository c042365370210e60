// The extension module byhand._cuda. It hands the table of the GPU's operators to byhand._core, and says
// whether there is a GPU. Importing it does not touch the GPU.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <exception>

#include "cuda/device.h"
#include "cuda/launch_limit.h"

namespace {

using namespace byhand;

// Sets `result` to work(), which runs without the GIL, because it may wait for the GPU. If work() throws,
// returns false with a RuntimeError.
template <class Result, class Work>
bool compute(Result& result, const Work& work) {
  std::string message;
  PyThreadState* const state = PyEval_SaveThread();
  try {
    result = work();
  } catch (const std::exception& error) {
    message = error.what();
  }
  PyEval_RestoreThread(state);
  if (!message.empty()) PyErr_SetString(PyExc_RuntimeError, message.c_str());
  return message.empty();
}

PyObject* why_not(PyObject*, PyObject*) {
  std::string reason;
  if (!compute(reason, cuda::why_not)) return nullptr;
  return reason.empty() ? Py_NewRef(Py_None) : PyUnicode_FromString(reason.c_str());
}

PyObject* info(PyObject*, PyObject*) {
  cuda::Info found;
  if (!compute(found, cuda::info)) return nullptr;
  return Py_BuildValue("{s:s,s:n,s:n}", "name", found.name.c_str(), "free_bytes",
                       static_cast<Py_ssize_t>(found.free_bytes), "total_bytes",
                       static_cast<Py_ssize_t>(found.total_bytes));
}

PyObject* set_most_blocks(PyObject*, PyObject* argument) {
  const long long count = PyLong_AsLongLong(argument);
  if (count == -1 && PyErr_Occurred()) return nullptr;
  cuda::most_blocks = count;
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"why_not", why_not, METH_NOARGS, "Return why the GPU cannot be used, or None if it can."},
    {"info", info, METH_NOARGS, "Return the name of the GPU and its memory: free_bytes and total_bytes."},
    {"set_most_blocks", set_most_blocks, METH_O,
     "Set the largest number of blocks of a launch. Only tests need this function."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    "_cuda",
    "The operators on NVIDIA GPUs.",
    -1,
    methods,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__cuda() {
  PyObject* const module = PyModule_Create(&definition);
  if (module == nullptr) return nullptr;
  PyObject* const table = PyCapsule_New(const_cast<Device*>(&cuda::device()), "byhand.Device", nullptr);
  PyObject* const is_emulated = cuda::device().is_gpu ? Py_False : Py_True;
  const bool is_complete = table != nullptr && PyModule_AddObjectRef(module, "device", table) == 0 &&
                           PyModule_AddObjectRef(module, "is_emulated", is_emulated) == 0;
  Py_XDECREF(table);
  if (is_complete) return module;
  Py_DECREF(module);
  return nullptr;
}
