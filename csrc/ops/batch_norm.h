// Batch normalization of x (batch, channels, plane). Each channel is normalized by the mean and the variance
// of its batch * plane values, or by running statistics.
//   y = gamma * (x - mean) * inv_std + beta,   inv_std = 1 / sqrt(variance + eps)
// The variance is the biased one. Backward:
//   d gamma = sum dy * (x - mean) * inv_std    d beta = sum dy
//   dx = gamma * inv_std * (dy - d beta / count - (x - mean) * inv_std * d gamma / count)
// If mean and variance are running statistics, they are constants, and dx = gamma * inv_std * dy.
// Sums are taken in double precision. If x, dy and gamma are at most 1e37 in magnitude, no intermediate value
// overflows. All arrays are contiguous, and no result overlaps an input or another result. A batch of 0 gives
// empty results, and zeros for d gamma and d beta.
#pragma once

#include <stdint.h>

namespace byhand::ops {

struct BatchNormShape {
  int64_t batch, channels, plane;
  int64_t count() const { return batch * plane; }  // number of values per channel
};

// Normalizes by the mean and the variance of x, and writes them to mean and inv_std. Then updates the running
// statistics:
//   running = (1 - momentum) * running + momentum * statistic of x
// The running variance takes the unbiased variance, sum (x - mean)^2 / (count - 1). A running statistic that
// is too large for float32 becomes the largest float32 number. If count() is 0, the running statistics stay
// as they are. count() must not be 1, because one value has no unbiased variance.
void batch_norm_training(const BatchNormShape&, const float* x, const float* gamma, const float* beta,
                         float momentum, float eps, float* running_mean, float* running_var, float* y,
                         float* mean, float* inv_std);

// Normalizes by running_mean and running_var. Writes the mean and the inverse deviation that it used to mean
// and inv_std.
void batch_norm_inference(const BatchNormShape&, const float* x, const float* gamma, const float* beta,
                          float eps, const float* running_mean, const float* running_var, float* y,
                          float* mean, float* inv_std);

struct BatchNormGradients {
  const float *dy, *x, *gamma, *mean, *inv_std;
  // Whether mean and inv_std are statistics of x. If so, and `mean` is the mean of x rounded to float32, the
  // exact mean is used instead.
  bool training;
  float* dx;  // null if it is not wanted
  float *dgamma, *dbeta;
};
void batch_norm_backward(const BatchNormShape&, const BatchNormGradients&);

}  // namespace byhand::ops
