// Optimizer steps. They change arrays of `count` contiguous values in place. No two arrays overlap.
#pragma once

#include <stdint.h>

#include <cmath>

#include "core/adam.h"
#include "core/check.h"

namespace byhand::ops {

struct Sgd {
  float lr, momentum;
  double dampening;  // double, because 1 - dampening loses digits in float32 if dampening is near 1
  float weight_decay;
  bool nesterov;
};

// One step of stochastic gradient descent. p are the parameters, v the velocity.
//   g = gradient + weight_decay p
//   v = momentum v + (1 - dampening) g,  or v = g if momentum is 0
//   p -= lr (nesterov ? g + momentum v : v)
// If momentum is 0, the old v is not read. If weight_decay is 0, g is the gradient itself, even if p is NaN.
// Source: Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013), in
// the form of torch.optim.SGD. PyTorch does not dampen the first gradient. To do the same, pass dampening = 0
// in the first step.
void sgd_step(const Sgd& sgd, int64_t count, float* parameters, const float* gradients, float* velocity);

struct Adam {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled;
};

// One step of Adam, or of AdamW if `decoupled` is true. `step` is the number of this step, counted from 1. p
// are the parameters, m the first moment and v the second.
//   g = gradient + (decoupled ? 0 : weight_decay) p
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
//   p = (decoupled ? 1 - lr weight_decay : 1) p - lr m' / (sqrt(v') + eps)
//   m' = m / (1 - beta1^step),  v' = v / (1 - beta2^step)
// If weight_decay is 0, g is the gradient itself, even if p is NaN.
// Sources: Kingma and Ba, "Adam: a method for stochastic optimization" (2015); for AdamW, Loshchilov and
// Hutter, "Decoupled weight decay regularization" (2019).
// Throws std::invalid_argument, before it writes anything, if step < 1 or a beta is not from 0 to below 1.
void adam_step(const Adam& adam, int64_t step, int64_t count, float* parameters, const float* gradients,
               float* first_moment, float* second_moment);

// Checks the arguments of adam_step as it promises, and returns the factors of this step. They are computed
// in double. If beta2 were float32, 1 - beta2 would keep only five digits.
inline AdamFactors adam_factors(const Adam& adam, int64_t step) {
  require(step >= 1, "step must be at least 1, got ", step);
  require(adam.beta1 >= 0 && adam.beta1 < 1, "beta1 must be from 0 to below 1, got ", adam.beta1);
  require(adam.beta2 >= 0 && adam.beta2 < 1, "beta2 must be from 0 to below 1, got ", adam.beta2);
  const auto exponent = static_cast<double>(step);
  const double first_bias = 1 - std::pow(adam.beta1, exponent);
  const double second_bias = 1 - std::pow(adam.beta2, exponent);
  return {
      .keep_first = static_cast<float>(adam.beta1),
      .take_first = static_cast<float>(1 - adam.beta1),
      .keep_second = static_cast<float>(adam.beta2),
      .take_second = static_cast<float>(1 - adam.beta2),
      .rate = static_cast<float>(adam.lr / first_bias),
      .root = static_cast<float>(1 / std::sqrt(second_bias)),
      .eps = static_cast<float>(adam.eps),
      .decay = static_cast<float>(adam.decoupled ? 0 : adam.weight_decay),
      .shrink = static_cast<float>(adam.decoupled ? 1 - adam.lr * adam.weight_decay : 1),
  };
}

}  // namespace byhand::ops
