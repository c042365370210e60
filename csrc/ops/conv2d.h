// Two-dimensional convolution. As in all network libraries, it is a cross-correlation: the filters are not
// flipped.
//   y[n, o, oy, ox] = bias[o] + sum over c, ky, kx of weight[o, c, ky, kx] * x[n, g C + c, iy, ix]
//   iy = oy stride.h + ky dilation.h - padding.top,   ix = ox stride.w + kx dilation.w - padding.left
// Here C = in_channels / groups, g is the group of o, and x is zero outside the image. The backward functions
// compute the gradients dx, dweight and db from dy, the gradient of y.
//
// Shapes: x and dx (N, in_channels, H, W), weight and dweight (out_channels, C, KH, KW), bias and db
// (out_channels), y and dy (N, out_channels, OH, OW). All arrays are contiguous, and no result overlaps an
// input. bias may be null. If N is 0, y and dx are empty, and dweight and db are zeros.
//
// The direct algorithm skips filter rows that fall into the padding above or below the image. But it
// multiplies weights by the zeros of the padding left and right of the image, so an infinite weight gives NaN
// there. dx is computed from dy in the same way: rows above and below dy are skipped, and zeros left and
// right of dy are multiplied. With Winograd's algorithm, an infinity or a NaN may spoil every result of an 8
// x 8 patch.
#pragma once

#include "core/shapes.h"

namespace byhand::ops {

// kAuto takes the faster algorithm for the shape and the direction. kWinograd throws std::invalid_argument if
// Winograd's algorithm cannot take the shape: it needs filters of 3 x 3 or 5 x 5, stride 1, dilation 1 and
// one group.
enum class ConvAlgorithm { kAuto, kDirect, kWinograd };

void conv2d(const Conv2dShape& s, ConvAlgorithm, const float* x, const float* weight, const float* bias,
            float* y);
void conv2d_backward_input(const Conv2dShape& s, ConvAlgorithm, const float* dy, const float* weight,
                           float* dx);
void conv2d_backward_weight(const Conv2dShape& s, ConvAlgorithm, const float* dy, const float* x,
                            float* dweight);
// db[o] is the sum of dy over images and positions. dy has the shape (batch, channels, plane).
void conv2d_backward_bias(const float* dy, int64_t batch, int64_t channels, int64_t plane, float* db);

}  // namespace byhand::ops
