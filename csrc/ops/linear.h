// Fully connected layer.
//   y = f(x W' + b)   x (n, in), W (out, in), b (out), y (n, out), f an activation or nothing
//   dx = dy W         dW = dy' x         db = sum of dy over the rows
// x, W and dy are read through any strides; results are contiguous. No result overlaps an input.
#pragma once

#include "ops/activation.h"
#include "ops/gemm.h"

namespace byhand::ops {

void linear(Matrix x, Matrix weight, const float* bias /* or null */, Activation f, float* y);
void linear_backward_input(Matrix dy, Matrix weight, float* dx);
void linear_backward_weight(Matrix dy, Matrix x, float* dw);
void linear_backward_bias(const float* dy, int64_t rows, int64_t columns, float* db);  // dy contiguous

}  // namespace byhand::ops
