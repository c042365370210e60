// The contract of the kernels of depthwise convolution: each output channel reads a single input channel.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// For one plane y of rows x columns,
//     y[i * columns + j] = bias +
//         sum over u and v of w[u * tap_columns + v] * x[i * x_stride + j + tap_row[u] + v]
// The offsets tap_row[0], tap_row[1], ... are equally far apart. If a row has fewer columns than lanes, the
// kernel reads a whole vector of x and stores only `columns`
// values.
struct DepthwisePlane {
  const float* x;
  int64_t x_stride;
  const int64_t* tap_row;
  int64_t tap_rows, tap_columns;
  const float* w;
  float bias;
  float* y;
  int64_t rows, columns;
};

// The largest number of taps of a row that a DepthwiseDot takes.
inline constexpr int kMaxTapColumns = 7;
// The largest number of rows of taps of a DepthwiseDot.
inline constexpr int kMaxTapRows = 5;
// sums[u * sums_row + v * lanes + lane] += sum over i and j of
//     dy[i * columns + j] * x[i * x_stride + j + u * tap_row + v]
// where j modulo `lanes` is the lane.
struct DepthwiseDot {
  const float* x;
  int64_t x_stride, tap_row;
  const float* dy;
  int64_t rows, columns;
  float* sums;
  int64_t sums_row;
};
using DepthwiseDotKernel = void (*)(const DepthwiseDot&);

struct DepthwiseKernels {
  int depthwise_lanes;
  void (*depthwise)(const DepthwisePlane&);
  int depthwise_tap_rows[kMaxTapColumns];  // [c - 1]: the largest number of rows of taps of a dot with c per
                                           // row
  DepthwiseDotKernel depthwise_dot[kMaxTapColumns][kMaxTapRows];  // [tap columns - 1][tap rows - 1]
  float (*lane_sum)(const float* lanes);                          // adds up the lanes of a vector
};

}  // namespace byhand::cpu
