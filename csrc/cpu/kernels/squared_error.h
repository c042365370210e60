// The contract of the kernels of the squared error.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct SquaredErrorKernels {
  // error[i] = (prediction[i] - target[i])^2
  void (*each)(const float* prediction, const float* target, int64_t count, float* error);
  // Returns the sum of (prediction[i] - target[i])^2. The squares are rounded to float32 and added in double
  // precision.
  double (*sum)(const float* prediction, const float* target, int64_t count);
  // grad[i] = factor * grad_each[i] * (prediction[i] - target[i]). If `grad_each` is null, its values count
  // as 1.
  void (*backward)(const float* prediction, const float* target, const float* grad_each, float factor,
                   int64_t count, float* grad);
};

}  // namespace byhand::cpu
