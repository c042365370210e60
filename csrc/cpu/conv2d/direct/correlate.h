// The direct algorithm for the output and for the input gradient: a correlation of images with a grid of
// taps.
#pragma once

#include "core/shapes.h"
#include "cpu/conv2d/direct/staging.h"

namespace byhand::cpu {

// y[n, g O + o, oy, ox] = bias[g O + o] + sum over c, ty, tx of
//     weight(g, o, c, ty, tx) * x[n, g C + c, oy rows.stride + rows.tap[ty], ox columns.stride +
//     columns.tap[tx]]
// with weight(g, o, c, ty, tx) = weight[g weight_group + o weight_output + c weight_channel +
//                                       row_offset[ty] + column_offset[tx]].
// rows.tap is monotonic. bias may be null. y is contiguous.
struct Correlation {
  int64_t batch, groups, channels, outputs;  // channels C and outputs O of one group
  Pair source, out;
  TapAxis rows, columns;
  const float* x;
  const float* weight;
  int64_t weight_group, weight_output, weight_channel;
  const int64_t *row_offset, *column_offset;
  const float* bias;
  float* y;
};

void correlate(const Correlation& c);

}  // namespace byhand::cpu
