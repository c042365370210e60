// The direct algorithm for the weight gradient. The gradient of each weight is a dot product over images and
// output positions: of dy and of the values of x that the weight is multiplied by.
#pragma once

#include "core/shapes.h"
#include "cpu/kernels/conv2d_weight_gradient.h"

namespace byhand::cpu {

// The least number of input channels of a group for which the method by channels works by taps and does not
// copy a padded image. With fewer, a tile would have too few rows.
inline constexpr int64_t kTapChannels = 4;
// The maximum number of outputs in a band of the method by channels, unless one row has more.
inline constexpr int64_t kBandOutputs = 1024;

// Compute the gradient as conv2d_backward_weight does (ops/conv2d.h), by one of the two methods (cost.h). dy
// and dw are not empty.
void weight_gradient_by_rows(const Conv2dShape& s, const float* dy, const float* x, float* dw);
void weight_gradient_by_channels(const Conv2dShape& s, const float* dy, const float* x, float* dw);

// Returns the kernels that the method by rows takes for rows of `outputs` values.
const ConvDotKernels& dots_for_rows(int64_t outputs);

}  // namespace byhand::cpu
