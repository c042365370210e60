// Turns C++ functions into Python functions, as pybind11's `def` does, but with faster calls.
//
// In a call with keywords, pybind11 creates a string for each parameter and looks it up. That takes half a
// microsecond, as long as a small matrix product. Here Python passes the arguments as an array of pointers
// (METH_FASTCALL), and a keyword is found by the address of its interned string.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace byhand::bindings {

namespace py = pybind11;

inline constexpr size_t kMaxParameters = 16;

struct Signature;  // a function's name, and the names and default values of its parameters

using Call = PyObject* (*)(PyObject* module, PyObject* const* given, Py_ssize_t count, PyObject* keywords);

// Adds the function `call` to the module. `signature` and `doc` become its documentation. `parameter_count`
// must be the number of parameters in `signature`. The result is never freed.
const Signature& add_function(py::module_& m, const char* signature, size_t parameter_count, Call call,
                              const char* doc);

// Stores the arguments of a call, or the default values, in `arguments` in the order of the parameters.
// Throws TypeError if the call does not fit the signature, as Python does.
void read_arguments(const Signature& signature, PyObject* const* given, size_t count, PyObject* keywords,
                    py::handle* arguments);

// Turns the C++ exception that is being handled, in a call of f, into a Python exception. MissingOperator
// becomes NotImplementedError, DeviceError byhand.cuda.DeviceError, std::invalid_argument ValueError,
// std::bad_alloc MemoryError, and any other standard exception RuntimeError.
void translate_exception(const Signature& f);

// Calls the function with the arguments. Returns None if the function has no result.
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

// kFunction in the form that Python calls: `call` is the function pointer.
template <auto kFunction>
struct Bound {
  static inline const Signature* signature = nullptr;

  static PyObject* call(PyObject*, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    try {
      py::handle arguments[kMaxParameters];
      read_arguments(*signature, given, static_cast<size_t>(count), keywords, arguments);
      return invoke(kFunction, arguments, parameters_of(kFunction)).release().ptr();
    } catch (...) {
      translate_exception(*signature);
      return nullptr;
    }
  }
};

// Adds kFunction, which takes one py::handle per parameter, to the module. `signature` is written as in
// Python, "f(a, b=None, *, c=1.0)", with literals as default values. `doc` is a NumPy-style docstring.
template <auto kFunction>
void define(py::module_& m, const char* signature, const char* doc) {
  Bound<kFunction>::signature =
      &add_function(m, signature, parameters_of(kFunction).size(), Bound<kFunction>::call, doc);
}

}  // namespace byhand::bindings
