// Activation functions of `count` values, and the sum of two arrays.
//   relu:     y = max(x, 0)            dx = dy if y > 0 or y is NaN, otherwise 0
//   tanh:     y = tanh(x)              dx = dy (1 - y) (1 + y)
//   sigmoid:  y = 1 / (1 + exp(-x))    dx = dy (1 - y) y
//   add:      y = a + b, the end of a residual connection
// dy and dx are the gradients with respect to y and x. If x is NaN, y is NaN. The backward functions need the
// output y, not the input x.
//
// All arrays are contiguous. y may be the same array as x or a, and dx the same array as dy or y. Apart from
// that, no result overlaps an input.
#pragma once

#include <stdint.h>

namespace byhand::ops {

// The activation that a fused operator applies to its result.
enum class Activation { kNone, kRelu, kTanh, kSigmoid };

void relu(const float* x, int64_t count, float* y);
void relu_backward(const float* dy, const float* y, int64_t count, float* dx);
void tanh(const float* x, int64_t count, float* y);
void tanh_backward(const float* dy, const float* y, int64_t count, float* dx);
void sigmoid(const float* x, int64_t count, float* y);
void sigmoid_backward(const float* dy, const float* y, int64_t count, float* dx);
void add(const float* a, const float* b, int64_t count, float* y);

}  // namespace byhand::ops
