// The direct algorithm: every multiplication that the formula has, without an im2col matrix.
#pragma once

#include "core/shapes.h"

namespace byhand::cpu {

// As conv2d and its gradients in ops/conv2d.h. Forward and the weight gradient need operands that are not
// empty; the input gradient may have no output channels. bias may be null.
void direct_forward(const Conv2dShape& s, const float* x, const float* weight, const float* bias, float* y);
void direct_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx);
void direct_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw);

// The multiply-adds of forward and the weight gradient, and of the input gradient, for one image. A tile of
// one or two output channels counts as one of three, because it is limited by its loads.
double direct_cost(const Conv2dShape& s);
double direct_backward_input_cost(const Conv2dShape& s);

// The approximate duration on one thread, in any direction.
double direct_ns(const Conv2dShape& s);

}  // namespace byhand::cpu
