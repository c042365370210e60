// Depthwise convolution with stride 1: each output channel reads a single input channel, so there is nothing
// to share between channels. There are one or two output channels per input channel, and a padded plane fits
// into L2. A task takes one plane after the other. The phases of the input gradient of a strided convolution
// have stride 1, too.
#pragma once

#include "core/shapes.h"
#include "cpu/conv2d/direct/correlate.h"

namespace byhand::cpu {

// Return whether the functions below take a correlation, or the weight gradient of a convolution.
bool is_depthwise(const Correlation& c);
bool is_depthwise(const Conv2dShape& s);

// Compute a correlation and a weight gradient as correlate_by_rows and weight_gradient_by_rows do.
void correlate_depthwise(const Correlation& c);
void weight_gradient_depthwise(const Conv2dShape& s, const float* dy, const float* x, float* dw);

}  // namespace byhand::cpu
