// Convolution with filters of 1 x 1, stride 1 and no padding: a matrix product for each image and group.
#pragma once

#include "core/shapes.h"

namespace byhand::cpu {

// Returns whether the convolution has filters of 1 x 1, stride 1 and no padding.
bool is_pointwise(const Conv2dShape& s);

// These functions compute conv2d and its gradients as in ops/conv2d.h. The result must not be empty. For the
// weight gradient, dy must not be empty, either. bias may be null.
void pointwise_forward(const Conv2dShape& s, const float* x, const float* weight, const float* bias,
                       float* y);
void pointwise_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx);
void pointwise_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw);

}  // namespace byhand::cpu
