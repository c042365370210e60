// The contract of the activation kernels. ops/activation.h has the formulas. The output array may be the
// same array as an input. Every array has `count` values.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct ActivationKernels {
  using Forward = void (*)(const float* x, int64_t count, float* y);
  using Backward = void (*)(const float* dy, const float* y, int64_t count, float* dx);
  Forward relu, tanh, sigmoid;
  Backward relu_backward, tanh_backward, sigmoid_backward;
};

}  // namespace byhand::cpu
