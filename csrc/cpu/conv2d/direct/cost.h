// What the direct algorithm costs, and which of its two methods is the cheaper one. By rows, the vectors run
// along rows of outputs. By channels, they run along the output channels.
#pragma once

#include "core/shapes.h"

namespace byhand::cpu {

// The sizes of a correlation (correlate.h), or of a weight gradient, which has the sizes of the forward pass.
struct DirectWork {
  int64_t groups, channels, outputs;  // `channels` input and `outputs` output channels per group
  Pair taps;
  Pair out;     // the size of a plane of outputs
  Pair stride;  // the distance of the inputs that neighbouring outputs read
  bool inside;  // whether no output reads beyond the borders of the inputs
};

DirectWork forward_work(const Conv2dShape& s);
DirectWork input_gradient_work(const Conv2dShape& s);  // of a convolution with stride 1

// Estimate the cost of one image in multiply-adds. Every other operation counts as the number of
// multiply-adds that take as long.
double correlation_cost(const DirectWork& w);
double weight_gradient_cost(const DirectWork& w);

// Return whether the method by channels is cheaper and needs little memory.
bool correlates_by_channels(const DirectWork& w);
bool has_weight_gradient_by_channels(const DirectWork& w);

}  // namespace byhand::cpu
