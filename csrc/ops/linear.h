// Fully connected layer.
//   y = f(x W' + b)   x (n, in), W (out, in), b (out), y (n, out), f an activation or nothing
//   dx = dz W         dW = dz' x         db = sum of dz over the rows, where dz is dy through f's backward
// x, W and, but where it is a pointer, dy are read through any strides; results are contiguous. No result
// overlaps an input.
#pragma once

#include "ops/activation.h"
#include "ops/gemm.h"

namespace byhand::ops {

void linear(Matrix x, Matrix weight, const float* bias /* or null */, Activation f, float* y);
void linear_backward_input(Matrix dy, Matrix weight, float* dx);
void linear_backward_weight(Matrix dy, Matrix x, float* dw);
void linear_backward_bias(const float* dy, int64_t rows, int64_t columns, float* db);  // dy contiguous

// All gradients at once; every bit is that of f's backward and then of the three functions.
struct LinearGradients {
  const float *dy, *y;  // contiguous; without an activation y is not read
  Matrix x, weight;
  float *dx, *dw, *db;  // dx and db may be null
};
void linear_act_backward(Activation, const LinearGradients&);

}  // namespace byhand::ops
