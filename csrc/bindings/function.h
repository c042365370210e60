// Python functions for the kernels.
//
// pybind11 looks up every parameter of a call with keywords by a string that it makes anew, which takes half
// a microsecond: as long as a small product. Here a call is an array of pointers, and a keyword is found by
// its address.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace byhand::bindings {

namespace py = pybind11;

inline constexpr size_t kMaxParameters = 16;

struct Signature;  // names and defaults

using Call = PyObject* (*)(PyObject* module, PyObject* const* given, Py_ssize_t count, PyObject* keywords);

// Adds `call` to the module; the result lives as long as the process.
const Signature& add_function(py::module_& m, const char* signature, size_t parameters, Call call,
                              const char* doc);

// Sorts the arguments of a call into the order of the parameters. Throws TypeError as Python does.
void read_arguments(const Signature& signature, PyObject* const* given, size_t count, PyObject* keywords,
                    py::handle* arguments);

// Sets the Python error for the exception that is being handled: one of pybind11's, or a standard one that
// the bindings and the kernels throw.
void translate_exception();

template <class Result, class... Handles, size_t... I>
py::object invoke(Result (*function)(Handles...), const py::handle* arguments, std::index_sequence<I...>) {
  static_assert(sizeof...(Handles) <= kMaxParameters);
  if constexpr (std::is_void_v<Result>) {
    function(arguments[I]...);
    return py::none();
  } else {
    return function(arguments[I]...);
  }
}

template <class Result, class... Handles>
constexpr std::index_sequence_for<Handles...> parameters_of(Result (*)(Handles...)) {
  return {};
}

template <auto kFunction>
struct Bound {
  static inline const Signature* signature = nullptr;

  static PyObject* call(PyObject*, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    try {
      py::handle arguments[kMaxParameters];
      read_arguments(*signature, given, static_cast<size_t>(count), keywords, arguments);
      return invoke(kFunction, arguments, parameters_of(kFunction)).release().ptr();
    } catch (...) {
      translate_exception();
      return nullptr;
    }
  }
};

// Adds kFunction, which takes a py::handle for each parameter, to the module. `signature` is what Python
// would write: "f(a, b=None, *, c=1.0)", its defaults literals.
template <auto kFunction>
void define(py::module_& m, const char* signature, const char* doc) {
  Bound<kFunction>::signature =
      &add_function(m, signature, parameters_of(kFunction).size(), Bound<kFunction>::call, doc);
}

}  // namespace byhand::bindings
