// The direct algorithm for the output and for the input gradient: a correlation of images with a grid of
// taps.
#pragma once

#include "core/shapes.h"
#include "cpu/conv2d/direct/cost.h"
#include "cpu/conv2d/direct/staging.h"
#include "cpu/kernels/conv2d_correlate.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {

// y[n, g * outputs + o, oy, ox] = bias[g * outputs + o] + sum over c, ty, tx of
//     w(g, o, c, ty, tx) * x[n, g * channels + c, in_y, in_x]
// where  in_y = oy * rows.stride + rows.tap[ty],  in_x = ox * columns.stride + columns.tap[tx],
// and    w(g, o, c, ty, tx) = weight[g * weight_group + o * weight_output + c * weight_channel +
//                                    row_offset[ty] + column_offset[tx]].
// A value of x outside the image counts as 0. The taps of `rows` are in rising or in falling order. bias may
// be null. x and y are contiguous.
struct Correlation {
  int64_t batch, groups, channels, outputs;  // `channels` input and `outputs` output channels per group
  Pair source, out;                          // the sizes of a plane of x and of a plane of y
  TapAxis rows, columns;
  const float* x;
  const float* weight;
  int64_t weight_group, weight_output, weight_channel;
  const int64_t *row_offset, *column_offset;
  const float* bias;
  float* y;

  InnerTaps inner_rows, inner_columns;  // of `rows` and `columns`; `correlate` in direct.cc computes them

  // The approximate duration on one thread, if a group has this number of output channels.
  double ns(int64_t outputs_per_group) const {
    return fma_ns(static_cast<double>(batch) * static_cast<double>(groups * outputs_per_group * channels) *
                  static_cast<double>(inner_rows.pairs) * static_cast<double>(inner_columns.pairs));
  }
};

// By channels, a task takes several images if their outputs are at most this number, so that tiles at the
// border of an image have several rows.
inline constexpr int64_t kTaskOutputs = 2048;

// A tile with fewer vectors of sums than this waits for its multiply-adds. A core begins two of them per
// cycle, and each takes four cycles.
inline constexpr int64_t kLeastSums = 8;

// By channels, the minimum length of a line of outputs whose even tiles are faster than the others.
inline constexpr int64_t kLeastLine = 7;

// Compute a correlation by one of the two methods (cost.h). Only the sizes of `source` may be 0, and for
// correlate_by_rows also `channels`.
void correlate_by_rows(const Correlation& c);
void correlate_by_channels(const Correlation& c);

// Returns the kernels that the method by rows takes for rows of `outputs` values: those with narrow vectors
// if a row fits into one of them. A longer row may leave more lanes of wide vectors idle than of narrow ones,
// but on CPUs with 512-bit units, wide vectors are nearly twice as fast.
const ConvTileKernels& tiles_for_rows(int64_t outputs);

}  // namespace byhand::cpu
