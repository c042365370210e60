// Two-dimensional convolution. As in other neural-network libraries, it is a cross-correlation: the filters
// are not flipped.
//   y[n, o, oy, ox] = bias[o] + sum over c, ky, kx of weight[o, c, ky, kx] * x[n, g C + c, iy, ix]
//   iy = oy stride.h + ky dilation.h - padding.top,   ix = ox stride.w + kx dilation.w - padding.left
// Here C = in_channels / groups, g is the group of output channel o, and x is zero outside the image. dy, dx,
// dweight and db are the gradients with respect to y, x, weight and bias. The backward functions compute the
// last three from dy.
//
// Shapes: x and dx (N, in_channels, H, W), weight and dweight (out_channels, C, KH, KW), bias and db
// (out_channels), y and dy (N, out_channels, OH, OW). All arrays are contiguous, and no result overlaps an
// input. bias may be null. If N is 0, y and dx are empty, and dweight and db are zeros.
//
// The direct algorithm multiplies weights by the zeros of the padding, so an infinite weight may give NaN
// there. dx is computed from dy in the same way, with zeros around dy. Some methods skip some or all of these
// zeros. The weight gradient may multiply dy by them, too. The shape and the instruction set decide the
// method, and the number of threads does not. With Winograd's algorithm, an infinity or a NaN may turn every
// result of the same 8 x 8 patch into NaN.
#pragma once

#include "core/shapes.h"

namespace byhand::ops {

// The algorithm of a convolution. kAuto stands for the algorithm that is estimated to be the fastest for this
// shape and this direction: forward, input gradient or weight gradient. With kWinograd, the functions throw
// std::invalid_argument if Winograd's algorithm cannot take the shape. It needs filters of 3 x 3 or 5 x 5,
// stride 1, dilation 1 and one group.
enum class ConvAlgorithm { kAuto, kDirect, kWinograd };

void conv2d(const Conv2dShape& s, ConvAlgorithm, const float* x, const float* weight, const float* bias,
            float* y);
void conv2d_backward_input(const Conv2dShape& s, ConvAlgorithm, const float* dy, const float* weight,
                           float* dx);
void conv2d_backward_weight(const Conv2dShape& s, ConvAlgorithm, const float* dy, const float* x,
                            float* dweight);
// db[o] is the sum of dy over images and positions. dy has the shape (batch, channels, plane), with plane =
// OH * OW.
void conv2d_backward_bias(const float* dy, int64_t batch, int64_t channels, int64_t plane, float* db);

}  // namespace byhand::ops
