// The contract of the batch normalization kernels. Formulas: ops/batch_norm.h.
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

// Arrays other than x, y, dx and dy have one value per channel. Sums are taken in double, because the square
// of 1e20 is beyond float32.
struct BatchNormKernels {
  // center: a value near the mean; sum and squares: of x - center and of its square.
  void (*moments)(const float* x, const ChannelBlock&, float* center, double* sum, double* squares);
  // y = (x - center) * scale + shift
  void (*normalize)(const float* x, const ChannelBlock&, const float* center, const float* scale,
                    const float* shift, float* y);
  // sum: of dy; products: of dy * (x - center); deviations: of x - center.
  void (*gradient_sums)(const float* dy, const float* x, const ChannelBlock&, const float* center,
                        double* sum, double* products, double* deviations);
  void (*input_gradient)(const float* dy, const float* x, const ChannelBlock&, const InputGradientTerms&,
                         float* dx);
};

}  // namespace byhand::cpu
