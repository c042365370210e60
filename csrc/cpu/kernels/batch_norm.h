// The contract of the batch normalization kernels. ops/batch_norm.h has the formulas.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// A block of rows of channels: value i of channel c in row r is at r * row_stride + c * length + i.
struct ChannelBlock {
  int64_t rows, channels, length, row_stride;
};

// dx = scale * (dy + slope * (x - center) + constant), with one value of each per channel.
struct InputGradientTerms {
  const float *center, *scale, *slope, *constant;
};

// Arrays other than x, y, dx and dy have one value per channel. Sums are taken in double, because float32
// cannot hold the square of 1e20.
struct BatchNormKernels {
  // Writes for each channel of the block its mean rounded to float32 (`center`), the sum of x - center
  // (`sum`) and the sum of (x - center)^2 (`squares`).
  void (*moments)(const float* x, const ChannelBlock&, float* center, double* sum, double* squares);
  // y = (x - center) * scale + shift
  void (*normalize)(const float* x, const ChannelBlock&, const float* center, const float* scale,
                    const float* shift, float* y);
  // Writes for each channel of the block the sum of dy (`sum`), the sum of dy * (x - center) (`products`) and
  // the sum of x - center (`deviations`).
  void (*gradient_sums)(const float* dy, const float* x, const ChannelBlock&, const float* center,
                        double* sum, double* products, double* deviations);
  void (*input_gradient)(const float* dy, const float* x, const ChannelBlock&, const InputGradientTerms&,
                         float* dx);
};

}  // namespace byhand::cpu
