// Fully connected layer.
//   y = x W' + b      x (n, in), W (out, in), b (out), y (n, out)
//   dx = dy W         dW = dy' x         db = sum of dy over the rows
// x, W and dy are read through any strides; results are contiguous. No result overlaps an input.
#pragma once

#include "ops/gemm.h"

namespace byhand::ops {

void linear(Matrix x, Matrix weight, const float* bias /* or null */, float* y);
void linear_backward_input(Matrix dy, Matrix weight, float* dx);
void linear_backward_weight(Matrix dy, Matrix x, float* dw);
void linear_backward_bias(const float* dy, int64_t rows, int64_t columns, float* db);  // dy contiguous

}  // namespace byhand::ops
