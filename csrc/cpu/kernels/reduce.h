// The contract of the kernels that add up values, rows and arrays.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct ReduceKernels {
  // Returns the sum of x, taken in double.
  double (*sum)(const float* x, int64_t count);
  // to[j] += sum over rows i of x[i * stride + j], taken in double and rounded once.
  void (*add_rows)(const float* x, int64_t rows, int64_t columns, int64_t stride, float* to);
  // y = a + b; y may be a.
  void (*add)(const float* a, const float* b, int64_t count, float* y);
};

}  // namespace byhand::cpu
