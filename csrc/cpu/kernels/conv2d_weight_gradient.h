// The contract of the kernels of direct convolution with vectors along rows of outputs that compute the
// gradient with respect to the weights.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// A vector of neighbouring outputs in one row of outputs. cpu/conv2d/direct/correlate_by_rows.cc uses this
// type, too.
struct ConvPosition {
  int64_t y;    // the offset of the first output, or of its gradient, in the plane of outputs
  int64_t x;    // the offset of the input that the first output reads through a tap whose own offset is 0
  int64_t row;  // the number of the row of outputs, counted from the first row of the band
  int count;    // the number of outputs, at most the number of lanes
};

// dW[r * dw_stride + c] += the sum over all images n, positions `at` and lanes i of
//     dy[n * dy_image_stride + r * dy_row_stride + at.y + i] * x[n * x_image_stride + offset[c] + at.x + i]
// A row r of dW is an output channel. A column c is a pair of an input channel and a tap.
struct ConvDot {
  int64_t images, dy_image_stride, x_image_stride;
  const float* dy;
  int64_t dy_row_stride;
  const float* x;
  const int64_t* offset;
  const ConvPosition* whole_positions;  // the positions that use all lanes
  int64_t whole;                        // their number
  const ConvPosition* cut_positions;    // the positions that use fewer lanes
  int64_t cut;                          // their number
  float* dw;
  int64_t dw_stride;
};
using ConvDotKernel = void (*)(const ConvDot&);

// The weight gradient of a convolution that is followed by max pooling, for one input channel. dy is zero
// except for `count` values per output channel. Row r of dz, place and dw is an output channel. dz[r, i] is a
// value of dy, and place[r, i] is its position in the plane of outputs.
//     dW[r, ty, tx] += sum over i of dz[r, i] * x[place[r, i] * kPooledSlot + ty * x_row + tx]
// x consists of slots of kPooledSlot floats. The slot at p * kPooledSlot + ty * x_row holds the inputs that
// the output at position p reads through row ty of the taps.
struct ConvPooledDot {
  int64_t count;
  const float* dz;
  const int32_t* place;  // (rows, count), as dz
  // x has slots for the positions 0 to `last`, and last + 1 is a power of 2. Another thread may change a
  // place after it was checked. Kernels therefore read the slot of position place & last, which is always
  // inside x.
  int32_t last;
  const float* x;
  int64_t x_row;   // the distance in x of neighbouring rows of taps
  int columns;     // the number of taps in a row, at most kPooledSlot
  float* dw;       // (rows, tap rows, columns)
  int64_t dw_row;  // the stride of the rows of dw
};
// kPooledSlot is the number of floats in a slot, and therefore the maximum number of taps in a row.
// kMaxPooledTapRows is the maximum number of rows of taps.
inline constexpr int kPooledSlot = 8, kMaxPooledTapRows = 7;
using ConvPooledDotKernel = void (*)(const ConvPooledDot&);

// The size of the largest tile of a ConvDot, for all instruction sets.
inline constexpr int kMaxDotRows = 5, kMaxDotColumns = 5;
// The maximum number of output channels that a ConvPooledDot takes.
inline constexpr int kPooledRows = 2;

// Kernels with vectors of this number of lanes.
struct ConvDotKernels {
  int lanes;
  ConvDotKernel dot[kMaxDotRows][kMaxDotColumns];  // [rows - 1][columns - 1]
};

struct WeightGradientKernels {
  int rows, columns;           // the size of the largest tile
  ConvDotKernels narrow_dots;  // with at most 8 lanes
  ConvDotKernels wide_dots;    // with all lanes of a vector
  // to[i * kPooledSlot + j] = x[i + j] for i < count and j < kPooledSlot.
  void (*fill_slots)(const float* x, int64_t count, float* to);
  ConvPooledDotKernel pooled[kPooledRows][kMaxPooledTapRows];  // [rows - 1][tap rows - 1]
};

}  // namespace byhand::cpu
