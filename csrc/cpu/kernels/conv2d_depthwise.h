// The contract of the kernels of depthwise convolution: each output channel reads a single input channel.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// y[i * columns + j] = bias + sum over u and v of w[u * tap_columns + v] * x[i * x_stride + j + tap_row[u] +
// v] for one plane y of rows x columns. In each row of x, the kernel also reads up to the end of the last
// vector.
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

// A DepthwiseDot takes at most this number of taps of a row. Depthwise planes with more taps in a row are
// slower per tap.
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
  int depthwise_tap_rows[kMaxTapColumns];  // [c - 1]: the most rows of taps of a dot with c taps per row
  DepthwiseDotKernel depthwise_dot[kMaxTapColumns][kMaxTapRows];  // [tap columns - 1][tap rows - 1]
  float (*lane_sum)(const float* lanes);                          // adds up the lanes of a vector
  // to[i * to_stride + j] = from[i * from_stride + j] for i < rows and j < columns.
  void (*copy_rows)(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                    int64_t to_stride);
};

}  // namespace byhand::cpu
