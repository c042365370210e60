// What module.cc calls: one function a family of operators.
#pragma once

#include <pybind11/pybind11.h>

namespace byhand::bindings {

void bind_runtime(pybind11::module_& m);
void bind_testing(pybind11::module_& m);
void bind_gemm(pybind11::module_& m);
void bind_linear(pybind11::module_& m);

}  // namespace byhand::bindings
