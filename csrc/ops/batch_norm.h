// Batch normalization of x (batch, channels, plane). `plane` is the number of values of one channel of one
// image. Each channel is normalized by the mean and the variance of its count = batch * plane values, or by
// running statistics.
//   y = gamma * (x - mean) * inv_std + beta,   inv_std = 1 / sqrt(variance + eps)
// The variance is the biased one: sum (x - mean)^2 / count. The gradients follow from dy, the gradient with
// respect to y:
//   d gamma = sum dy * (x - mean) * inv_std    d beta = sum dy
//   dx = gamma * inv_std * (dy - d beta / count - (x - mean) * inv_std * d gamma / count)
// If mean and variance are running statistics, they are constants, and dx = gamma * inv_std * dy.
//
// Sums are taken in double precision. If x, dy and gamma are at most 1e37 in magnitude, no intermediate value
// overflows. All arrays are contiguous, and no result overlaps an input or another result. If count is 0, x,
// y and dx are empty, and d gamma and d beta are zeros.
#pragma once

#include <stdint.h>

namespace byhand::ops {

struct BatchNormShape {
  int64_t batch, channels, plane;
  int64_t count() const { return batch * plane; }  // number of values per channel
};

// Normalizes x by its own mean and variance. Writes y, and the mean and inv_std of each channel. Then updates
// the running statistics:
//   running = (1 - momentum) * running + momentum * statistic of x
// running_var takes the unbiased variance, sum (x - mean)^2 / (count - 1). A running statistic that is too
// large for float32 becomes the largest float32 number. If count() is 0, mean is 0, inv_std is 1 / sqrt(eps),
// and the running statistics stay as they are. count() must not be 1, because one value has no unbiased
// variance.
void batch_norm_training(const BatchNormShape&, const float* x, const float* gamma, const float* beta,
                         float momentum, float eps, float* running_mean, float* running_var, float* y,
                         float* mean, float* inv_std);

// Normalizes x by running_mean and running_var. Also copies running_mean to `mean`, and writes 1 /
// sqrt(running_var + eps) to `inv_std`.
void batch_norm_inference(const BatchNormShape&, const float* x, const float* gamma, const float* beta,
                          float eps, const float* running_mean, const float* running_var, float* y,
                          float* mean, float* inv_std);

struct BatchNormGradients {
  const float *dy, *x, *gamma, *mean, *inv_std;
  // True if mean and inv_std are the statistics of x that batch_norm_training returned, false if they are
  // running statistics. If true, the mean of x is computed again in double precision, and replaces `mean` if
  // the two differ only by the rounding to float32.
  bool training;
  float* dx;  // null if it is not wanted
  float *dgamma, *dbeta;
};
void batch_norm_backward(const BatchNormShape&, const BatchNormGradients&);

}  // namespace byhand::ops
