// What the direct algorithm costs, and which of its two methods is the cheaper one. By rows, the vectors run
// along rows of outputs. By channels, they run along the output channels.
#pragma once

#include "core/shapes.h"
#include "cpu/conv2d/direct/staging.h"

namespace byhand::cpu {

// The taps of one axis that read inside the image: the number of pairs of an output and such a tap, and the
// number of runs of neighbouring outputs that have the same taps inside. `line` is the length of the longest
// run with several taps, or 0 if the taps do not slide.
struct InnerTaps {
  int64_t pairs, runs, line;
};

// The sizes of a correlation (correlate.h), or of a weight gradient, which has the sizes of the forward pass.
struct DirectWork {
  int64_t groups, channels, outputs;  // `channels` input and `outputs` output channels per group
  Pair taps;
  Pair out;     // the size of a plane of outputs
  Pair stride;  // the distance of the inputs that neighbouring outputs read
  InnerTaps inner_rows, inner_columns;

  // Returns whether no output reads beyond the borders of the image.
  bool inside() const { return inner_rows.pairs == out.h * taps.h && inner_columns.pairs == out.w * taps.w; }
};

// Returns the inner taps of an axis with this number of outputs, for an image with `size` rows or columns.
InnerTaps inner_taps(const TapAxis& axis, int64_t outputs, int64_t size);

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
