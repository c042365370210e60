// Fully connected layer with an activation f, which may be the identity.
//   y = f(z)       z = x W' + b
//   dx = dz W      dW = dz' x      db = the sum of dz over its rows
// A prime denotes the transpose. dy, dz, dx, dW and db are the gradients with respect to y, z, x, W and b.
// The backward function of f computes dz from dy and y.
//
// Shapes: x and dx (n, in), W and dW (out, in), b and db (out), y, dy, z and dz (n, out). The arguments of
// type Matrix may have any strides. Pointers are contiguous arrays. No result overlaps an input. If n is 0, y
// and dx are empty, and dW and db are zeros.
#pragma once

#include "ops/activation.h"
#include "ops/gemm.h"

namespace byhand::ops {

// Computes y. bias may be null.
void linear(Matrix x, Matrix weight, const float* bias, Activation f, float* y);

// Compute the gradients of a layer without an activation, in which dz = dy.
void linear_backward_input(Matrix dy, Matrix weight, float* dx);
void linear_backward_weight(Matrix dy, Matrix x, float* dw);
void linear_backward_bias(const float* dy, int64_t rows, int64_t columns, float* db);

// linear_act_backward computes all gradients in one call. They have the same bits as those of the backward
// function of f followed by the three functions above.
struct LinearGradients {
  const float *dy, *y;  // (n, out); y is not read if there is no activation
  Matrix x, weight;
  float *dx, *dw, *db;  // dx and db are null if they are not wanted
};
void linear_act_backward(Activation, const LinearGradients&);

}  // namespace byhand::ops
