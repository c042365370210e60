// The kernels of activation functions, for drivers that apply an activation to their results.
#pragma once

#include "cpu/kernels/activation.h"
#include "cpu/runtime/registry.h"
#include "ops/activation.h"

namespace byhand::cpu {

// Return the kernel of f, or null if f is kNone.
ActivationKernels::Forward forward_kernel(ops::Activation f);
ActivationKernels::Backward backward_kernel(ops::Activation f);

// Runs the kernel on all threads. dx may be the same array as dy or y.
void activation_backward(ActivationKernels::Backward, const float* dy, const float* y, int64_t count,
                         float* dx);

}  // namespace byhand::cpu
