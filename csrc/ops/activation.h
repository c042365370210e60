// Activations, value by value; `count` values. y may be x, and dx may be dy or y.
//   relu: max(x, 0)             dx = dy where y > 0 or y is NaN, else 0
//   tanh: tanh(x)               dx = dy (1 - y) (1 + y)
//   sigmoid: 1 / (1 + exp(-x))  dx = dy (1 - y) y
// NaN gives NaN. And the sum of two arrays, a layer's and what went round it: y may be a.
#pragma once

#include <stdint.h>

namespace byhand::ops {

// The functions that another operator may apply to its result.
enum class Activation { kNone, kRelu, kTanh, kSigmoid };

void relu(const float* x, int64_t count, float* y);
void relu_backward(const float* dy, const float* y, int64_t count, float* dx);
void tanh(const float* x, int64_t count, float* y);
void tanh_backward(const float* dy, const float* y, int64_t count, float* dx);
void sigmoid(const float* x, int64_t count, float* y);
void sigmoid_backward(const float* dy, const float* y, int64_t count, float* dx);
void add(const float* a, const float* b, int64_t count, float* y);

}  // namespace byhand::ops
