// The contract of the kernels of the squared error.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct SquaredErrorKernels {
  // error = (prediction - target)^2
  void (*each)(const float* prediction, const float* target, int64_t count, float* error);
  // Returns the sum of (prediction - target)^2. The squares are float32 and are added in double.
  double (*sum)(const float* prediction, const float* target, int64_t count);
  // grad = factor * grad_each * (prediction - target). If `grad_each` is null, its values count as 1.
  void (*backward)(const float* prediction, const float* target, const float* grad_each, float factor,
                   int64_t count, float* grad);
};

}  // namespace byhand::cpu
