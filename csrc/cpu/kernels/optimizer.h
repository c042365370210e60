// The contract of the optimizers' kernels. ops/optimizer.h has the formulas.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The factors of one step of Adam. They are the same for all parameters. For each parameter p:
//   g = gradient + decay * p
//   first = keep_first * first + take_first * g,  second = keep_second * second + take_second * g^2
//   p = shrink * p - rate * first / (root * sqrt(second) + eps)
// `rate` contains the bias correction of the first moment, `root` that of the second moment.
struct AdamFactors {
  float keep_first, take_first;    // beta1 and 1 - beta1
  float keep_second, take_second;  // beta2 and 1 - beta2
  float rate, root, eps;
  float decay, shrink;
};

struct OptimizerKernels {
  // `take_gradient` is 1 - dampening.
  void (*sgd)(float lr, float momentum, float take_gradient, float weight_decay, bool nesterov, int64_t count,
              float* parameters, const float* gradients, float* velocity);
  void (*adam)(const AdamFactors&, int64_t count, float* parameters, const float* gradients, float* first,
               float* second);
};

}  // namespace byhand::cpu
