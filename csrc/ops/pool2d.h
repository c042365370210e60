// Pooling of each plane of x (batch, channels, in_h, in_w) into y (batch, channels, out_h, out_w). The window
// of output (i, j) has the positions (i stride.h - top + u dilation.h, j stride.w - left + v dilation.w), for
// u < kernel.h and v < kernel.w. Positions outside the image have no input and are skipped. dy and dx are the
// gradients with respect to y and x. All arrays are contiguous, and no result overlaps an input. The batch
// may be 0.
#pragma once

#include "core/shapes.h"

namespace byhand::ops {

// y is the largest input of each window, and index its position in the plane, row * in_w + column. The first
// of equal values wins. A NaN wins over numbers, and a later NaN over an earlier one. A window without any
// input gives y = -inf and index = -1.
void max_pool2d(const Pool2dShape& s, const float* x, float* y, int32_t* index);

// dx is zero except at the positions of maxima. There it is the sum of dy over all windows with this maximum:
// dx[plane][index] += dy. An index of -1 is skipped. dy and index are (planes, outputs), dx is (planes,
// plane_size). Throws std::invalid_argument, before it writes anything, if an index is not from -1 to
// plane_size - 1.
void max_pool2d_backward(const float* dy, const int32_t* index, int64_t planes, int64_t outputs,
                         int64_t plane_size, float* dx);

// y is the sum of the inputs of each window, divided by a number of cells. If count_include_pad is true,
// these are the cells of the window inside the input and its padding, otherwise only those inside the input.
// Cells beyond the padding, which ceil_mode may reach, never count. A window without any input gives y = 0.
// The dilation must be 1.
void avg_pool2d(const Pool2dShape& s, bool count_include_pad, const float* x, float* y);

// dx is, for each input, the sum of dy / divisor over all windows that contain it. The divisor is that of
// avg_pool2d.
void avg_pool2d_backward(const Pool2dShape& s, bool count_include_pad, const float* dy, float* dx);

}  // namespace byhand::ops
