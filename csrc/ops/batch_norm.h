// Batch normalisation of x (batch, channels, plane): each channel by the mean and variance of its
// batch * plane values, or by running ones.
//   y = gamma * (x - mean) * inv_std + beta,   inv_std = 1 / sqrt(variance + eps)
// The variance is the biased one. Backward, where mean and variance are those of x:
//   d gamma = sum dy * (x - mean) * inv_std    d beta = sum dy
//   dx = gamma * inv_std * (dy - d beta / count - (x - mean) * inv_std * d gamma / count)
// and dx = gamma * inv_std * dy if they are running ones.
// Sums are taken in double. Any x, dy and gamma of up to 1e37 in magnitude give results without overflow, as
// long as the results themselves are float32 numbers.
#pragma once

#include <stdint.h>

namespace byhand::ops {

struct BatchNormShape {
  int64_t batch, channels, plane;
  int64_t count() const { return batch * plane; }  // values of a channel
};

// By x's own statistics, which go to mean and inv_std. Then
//   running = (1 - momentum) * running + momentum * own
// with the unbiased variance, sum (x - mean)^2 / (count - 1). A running statistic beyond float32 becomes the
// largest float32. Without values nothing is updated. A channel of one value has no unbiased variance:
// count() must not be 1.
void batch_norm_training(const BatchNormShape&, const float* x, const float* gamma, const float* beta,
                         float momentum, float eps, float* running_mean, float* running_var, float* y,
                         float* mean, float* inv_std);

// By running_mean and running_var; mean and inv_std tell what y was made with.
void batch_norm_inference(const BatchNormShape&, const float* x, const float* gamma, const float* beta,
                          float eps, const float* running_mean, const float* running_var, float* y,
                          float* mean, float* inv_std);

struct BatchNormGradients {
  const float *dy, *x, *gamma, *mean, *inv_std;
  // mean and inv_std are those of x. If `mean` is the mean of x rounded to float32, the mean itself is used.
  bool training;
  float* dx;  // null: not wanted
  float *dgamma, *dbeta;
};
void batch_norm_backward(const BatchNormShape&, const BatchNormGradients&);

}  // namespace byhand::ops
