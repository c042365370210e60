// Pooling of every plane of x (batch, channels, in_h, in_w) into y (batch, channels, out_h, out_w). Output
// (i, j) sees the inputs (i stride - top + u dilation, j stride - left + v dilation) that exist.
#pragma once

#include "core/shapes.h"

namespace byhand::ops {

// y = the largest input seen, index = its place in the plane. The first of equal values wins; a NaN wins over
// numbers, and a later NaN over an earlier one. A window that sees no input: y = -inf, index = -1.
void max_pool2d(const Pool2dShape& s, const float* x, float* y, int32_t* index);

// dx[plane][index] += dy, index -1 excepted. Throws std::invalid_argument, before it writes anything, where
// an index is not of -1 to plane_size - 1.
void max_pool2d_backward(const float* dy, const int32_t* index, int64_t planes, int64_t outputs,
                         int64_t plane_size, float* dx);

// y = sum of the inputs seen / divisor. The divisor counts the window's cells inside the input, or inside
// input and padding with count_include_pad; beyond the padding, where ceil_mode may reach, nothing counts.
// A window that sees no input: y = 0. Dilation is 1.
void avg_pool2d(const Pool2dShape& s, bool count_include_pad, const float* x, float* y);

// dx = for every window: dy / divisor, added to each input that it sees.
void avg_pool2d_backward(const Pool2dShape& s, bool count_include_pad, const float* dy, float* dx);

}  // namespace byhand::ops
