// The direct algorithm: every multiplication that the formula has, without an im2col matrix.
#pragma once

#include "core/shapes.h"

namespace byhand::cpu {

// These functions compute conv2d and its gradients as in ops/conv2d.h. The result must not be empty. For the
// weight gradient, dy must not be empty, either. bias may be null.
void direct_forward(const Conv2dShape& s, const float* x, const float* weight, const float* bias, float* y);
void direct_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx);
void direct_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw);

// The approximate duration of any of the three functions on one thread.
double direct_ns(const Conv2dShape& s);

}  // namespace byhand::cpu
