// The contract of the optimizers' kernels. Formulas: ops/optimizer.h.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The factors of a step of Adam, which are the same for all parameters.
struct AdamFactors {
  float keep_first, take_first;    // beta1 and 1 - beta1
  float keep_second, take_second;  // beta2 and 1 - beta2
  float rate, root, eps;           // rate * first / (root * sqrt(second) + eps), corrected for the bias
  float decay, shrink;             // decay is added to the gradient; shrink multiplies the parameter
};

struct OptimizerKernels {
  // `take_gradient` is 1 - dampening.
  void (*sgd)(float lr, float momentum, float take_gradient, float weight_decay, bool nesterov, int64_t count,
              float* parameters, const float* gradients, float* velocity);
  void (*adam)(const AdamFactors&, int64_t count, float* parameters, const float* gradients, float* first,
               float* second);
};

}  // namespace byhand::cpu
