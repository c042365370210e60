// The contract of the optimizers' kernels. ops/optimizer.h has the formulas.
#pragma once

#include <stdint.h>

#include "core/adam.h"

namespace byhand::cpu {

struct OptimizerKernels {
  // `take_gradient` is 1 - dampening.
  void (*sgd)(float lr, float momentum, float take_gradient, float weight_decay, bool nesterov, int64_t count,
              float* parameters, const float* gradients, float* velocity);
  void (*adam)(const AdamFactors&, int64_t count, float* parameters, const float* gradients, float* first,
               float* second);
};

}  // namespace byhand::cpu
