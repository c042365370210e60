// The contract of the batch normalization kernels. ops/batch_norm.h has the formulas.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// A block of an array: some neighbouring channels of some neighbouring images. A row is the part of one
// image that lies in the block. Each channel has `length` values per row. Value i of channel c in row r is
// at r * row_stride + c * length + i.
struct ChannelBlock {
  int64_t rows, channels, length, row_stride;
};

// The four arrays of the formula dx = scale * (dy + slope * (x - center) + constant). Each has one value per
// channel.
struct InputGradientTerms {
  const float *center, *scale, *slope, *constant;
};

// Pointers to x, y, dx and dy point to the first value of the block. All other arrays have one value per
// channel. Sums are taken in double precision, because float32 cannot hold the square of 1e20.
struct BatchNormKernels {
  // For each channel, writes the mean of its values in the block, rounded to float32, to `center`. Writes
  // the sum of x - center to `sum`, and the sum of (x - center)^2 to `squares`.
  void (*moments)(const float* x, const ChannelBlock&, float* center, double* sum, double* squares);
  // y = (x - center) * scale + shift
  void (*normalize)(const float* x, const ChannelBlock&, const float* center, const float* scale,
                    const float* shift, float* y);
  // For each channel, writes the sum of dy to `sum`, the sum of dy * (x - center) to `products`, and the sum
  // of x - center to `deviations`.
  void (*gradient_sums)(const float* dy, const float* x, const ChannelBlock&, const float* center,
                        double* sum, double* products, double* deviations);
  // Computes dx by the formula of InputGradientTerms.
  void (*input_gradient)(const float* dy, const float* x, const ChannelBlock&, const InputGradientTerms&,
                         float* dx);
};

}  // namespace byhand::cpu
