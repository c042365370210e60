// Arrays of other libraries: PyTorch, JAX, the standard library and others.
#pragma once

#include <pybind11/numpy.h>

namespace byhand::bindings {

namespace py = pybind11;

// What a call does with an array. It may read a copy of an input. But if it wrote a result to a copy, the
// caller would never see the result.
enum class Access { kRead, kWrite };

// Returns an array of NumPy with the values of `object`, which is no array of NumPy. The protocols that
// Python libraries have agreed on are tried in this order: the buffer protocol, `__array_interface__`, DLPack
// and, if `access` is kRead, `__array__`. With the first three, the array shares the memory of `object`.
// `__array__` may return a copy.
//
// Returns a null object if `object` has none of them. Throws a TypeError that names the argument if the
// protocol fails, as for a tensor of a GPU or a tensor of PyTorch that needs a gradient.
py::object array_of(py::handle object, const char* name, Access access);

}  // namespace byhand::bindings
