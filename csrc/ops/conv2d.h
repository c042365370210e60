// Two-dimensional convolution as every network library means it: a cross-correlation.
//   y[n, o, oy, ox] = bias[o] + sum over c, ky, kx of
//       weight[o, c, ky, kx] * x[n, g C + c, oy stride.h + ky dilation.h - padding.top, ox ...]
// with c over the C = in_channels / groups channels of o's group g, and x zero outside the image.
// x (N, in_channels, H, W), weight (out_channels, C, KH, KW), bias (out_channels) or null, y and dy
// (N, out_channels, OH, OW); all contiguous; no result overlaps an input. N = 0 gives empty or zero results.
// Rows of taps in the padding above or below the image (of dy, for dx) are left out; zeros to its left and
// right take part in the arithmetic, so that an infinite weight which meets one gives NaN.
#pragma once

#include "core/shapes.h"

namespace byhand::ops {

// kWinograd throws std::invalid_argument where that algorithm cannot take the shape; kAuto takes it where it
// is faster.
enum class ConvAlgorithm { kAuto, kDirect, kWinograd };

void conv2d(const Conv2dShape& s, ConvAlgorithm, const float* x, const float* weight, const float* bias,
            float* y);
void conv2d_backward_input(const Conv2dShape& s, ConvAlgorithm, const float* dy, const float* weight,
                           float* dx);
void conv2d_backward_weight(const Conv2dShape& s, ConvAlgorithm, const float* dy, const float* x,
                            float* dweight);
// db[o] = sum of dy over images and positions; dy (batch, channels, plane).
void conv2d_backward_bias(const float* dy, int64_t batch, int64_t channels, int64_t plane, float* db);

}  // namespace byhand::ops
