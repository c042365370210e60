// The contract of the kernels of the squared error.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct SquaredErrorKernels {
  void (*each)(const float* prediction, const float* target, int64_t count, float* error);
  double (*sum)(const float* prediction, const float* target, int64_t count);
  // grad = factor * each[i] * (prediction - target); without the factor each[i] if `each` is null.
  void (*backward)(const float* prediction, const float* target, const float* each, float factor,
                   int64_t count, float* grad);
};

}  // namespace byhand::cpu
