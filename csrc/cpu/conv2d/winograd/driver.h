// The drivers of Winograd's algorithm. They share patches or rows among the threads.
#pragma once

#include "core/shapes.h"

namespace byhand::cpu {

// Returns whether Winograd's algorithm can compute this convolution. It must have filters of 3 x 3 or 5 x 5,
// stride 1, dilation 1 and one group.
bool winograd_takes(const Conv2dShape& s);

// These functions compute conv2d and its gradients as in ops/conv2d.h, for shapes for which winograd_takes
// returns true. The result must not be empty, and neither the batch nor a number of channels may be 0. bias
// may be null. winograd_rows_forward transforms along rows only (winograd/rows.h).
void winograd_forward(const Conv2dShape& s, const float* x, const float* weight, const float* bias, float* y);
void winograd_rows_forward(const Conv2dShape& s, const float* x, const float* weight, const float* bias,
                           float* y);
void winograd_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx);
void winograd_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw);

// Estimate the multiply-adds for one image by the algorithm that transforms in both axes (not that of
// winograd_rows_forward). A transform counts as the number of multiply-adds that take as long. The filters
// are transformed once per batch.
double winograd_forward_cost(const Conv2dShape& s);
double winograd_input_gradient_cost(const Conv2dShape& s);
double winograd_weight_gradient_cost(const Conv2dShape& s);

}  // namespace byhand::cpu
