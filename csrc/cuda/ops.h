// The operators of csrc/ops on an NVIDIA GPU: the same names, arguments and meaning. All pointers are
// addresses of the device. A function returns when its kernels are in the stream (launch.h), not when they
// are done. ops/device.h describes what this means for scalar results, labels and indices.
//
// Nothing outside of the arrays is read or written, whatever the labels and the indices are. An index that
// max_pool2d_backward cannot use is skipped.
//
// Convolution differs from ops/conv2d.h in three points.
// - Only the direct algorithm exists, without a weight cache. kAuto stands for it, and kWinograd throws
//   std::invalid_argument.
// - The zeros of the padding are multiplied on all four sides of the image, and so are the zeros around dy.
//   So an infinite or NaN weight gives NaN wherever its filter reaches into the padding. An infinite or NaN
//   value of dy gives NaN in the gradients of the weights that meet the padding at its position.
// - The padded image must have less than 2^28 rows and less than 2^28 columns. Otherwise the functions throw
//   std::invalid_argument.
#pragma once

#include "ops/device.h"

namespace byhand::cuda {

// Declares a function with the type of each function of csrc/ops.
#define X(name) decltype(ops::name) name;
BYHAND_OPERATORS(X)
#undef X

}  // namespace byhand::cuda
