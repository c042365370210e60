// Each function adds the Python functions of one family of operators to the module. module.cc calls all of
// them.
#pragma once

#include <pybind11/pybind11.h>

namespace byhand::bindings {

void bind_runtime(pybind11::module_& m);
void bind_testing(pybind11::module_& m);
void bind_gemm(pybind11::module_& m);
void bind_linear(pybind11::module_& m);
void bind_conv2d(pybind11::module_& m);
void bind_conv2d_pool_act(pybind11::module_& m);
void bind_pool2d(pybind11::module_& m);
void bind_activation(pybind11::module_& m);
void bind_softmax_cross_entropy(pybind11::module_& m);
void bind_count_correct(pybind11::module_& m);
void bind_squared_error(pybind11::module_& m);
void bind_batch_norm(pybind11::module_& m);
void bind_dropout(pybind11::module_& m);
void bind_optimizer(pybind11::module_& m);
void bind_gather(pybind11::module_& m);
void bind_warp_images(pybind11::module_& m);
void bind_device_array(pybind11::module_& m);

}  // namespace byhand::bindings
