// Batch normalisation of x (batch, channels, plane): each channel by the mean and variance of its
// batch * plane values, or by running ones.
//   y = gamma * (x - mean) * inv_std + beta,   inv_std = 1 / sqrt(variance + epsilon)
// The variance is the biased one. Backward, where mean and variance are those of x:
//   d gamma = sum dy * (x - mean) * inv_std    d beta = sum dy
//   dx = gamma * inv_std * (dy - d beta / count - (x - mean) * inv_std * d gamma / count)
// and dx = gamma * inv_std * dy where they are running ones.
#pragma once

#include <stdint.h>

namespace byhand::ops {

struct BatchNormShape {
  int64_t batch, channels, plane;
  int64_t count() const { return batch * plane; }  // values of a channel
};

// By x's own statistics, which go to mean and inv_std. Then
//   running = (1 - momentum) * running + momentum * own
// with the unbiased variance, sum (x - mean)^2 / (count - 1). Without values nothing is updated. A channel of
// one value has no unbiased variance: count() must not be 1.
void batch_norm_training(const BatchNormShape&, const float* x, const float* gamma, const float* beta,
                         float momentum, float epsilon, float* running_mean, float* running_var, float* y,
                         float* mean, float* inv_std);

// By running_mean and running_var; mean and inv_std tell what y was made with.
void batch_norm_inference(const BatchNormShape&, const float* x, const float* gamma, const float* beta,
                          float epsilon, const float* running_mean, const float* running_var, float* y,
                          float* mean, float* inv_std);

struct BatchNormGradients {
  const float *dy, *x, *gamma, *mean, *inv_std;
  bool training;  // mean and inv_std are those of x
  float* dx;      // null: not wanted
  float *dgamma, *dbeta;
};
void batch_norm_backward(const BatchNormShape&, const BatchNormGradients&);

}  // namespace byhand::ops
