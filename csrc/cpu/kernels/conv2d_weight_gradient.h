// The contract of the kernels of direct convolution that compute the gradient with respect to the weights.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// One vector of neighbouring outputs.
struct ConvPosition {
  int64_t y, x;  // where it begins in a plane of dy, and in the staged input
  int64_t row;   // its row of outputs
  int count;     // its number of lanes
};

// dW[r * dw_stride + c] += sum over images, positions and lanes of dy * x. A row of dW is an output channel,
// a column is a pair (input channel, tap).
struct ConvDot {
  int64_t images, dy_image_stride, x_image_stride;
  const float* dy;
  int64_t dy_row_stride;
  const float* x;
  const int64_t* offset;                // where each column begins in x
  const ConvPosition* whole_positions;  // `whole` positions that use all lanes
  int64_t whole;
  const ConvPosition* cut_positions;  // `cut` positions that use fewer lanes
  int64_t cut;
  float* dw;
  int64_t dw_stride;
};
using ConvDotKernel = void (*)(const ConvDot&);

// dW[r, ty, tx] += sum over i of dz[r, i] * x[place[r, i], ty, tx]. Row r is an output channel, and its plane
// of dy is zero except for the `count` values dz at the positions `place`. x holds one slot of kPooledSlot
// floats per output: the values that this output sees through its first row of taps. The slot for tap row ty
// lies ty * x_row floats later.
struct ConvPooledDot {
  int64_t count;
  const float* dz;
  const int32_t* place;  // laid out as dz, `count` per row
  // x has last + 1 slots, and last + 1 is a power of 2. Kernels compute place & last, because another thread
  // may change a place after it was checked.
  int32_t last;
  const float* x;
  int64_t x_row;
  int columns;  // the number of taps in a row, at most kPooledSlot
  float* dw;    // (rows, tap rows, columns)
  int64_t dw_row;
};
inline constexpr int kPooledSlot = 8, kMaxPooledTapRows = 7;
using ConvPooledDotKernel = void (*)(const ConvPooledDot&);

inline constexpr int kMaxDotRows = 5, kMaxDotColumns = 5, kPooledRows = 2;

struct WeightGradientKernels {
  int lanes;
  int rows, columns;                               // the size of the largest tile
  ConvDotKernel dot[kMaxDotRows][kMaxDotColumns];  // [rows - 1][columns - 1]
  // to[i * kPooledSlot + j] = x[i + j] for i < count and j < kPooledSlot.
  void (*fill_slots)(const float* x, int64_t count, float* to);
  ConvPooledDotKernel pooled[kPooledRows][kMaxPooledTapRows];  // [rows - 1][tap rows - 1]
};

}  // namespace byhand::cpu
