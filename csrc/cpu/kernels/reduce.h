// The contract of the kernels that add up the values of an array, the rows of a matrix, or two arrays.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct ReduceKernels {
  // Returns the sum of `pieces` pieces of x. A piece has `count` values, and the distance between the first
  // values of two pieces is `distance`. Groups of 8 values are added in float32, and the sums of the groups
  // in double precision. If a float32 sum overflows, all values are added in double precision.
  double (*sum)(const float* x, int64_t pieces, int64_t distance, int64_t count);
  // to[j] += sum over rows i of x[i * stride + j]. The sum is taken in double precision and rounded once.
  void (*add_rows)(const float* x, int64_t rows, int64_t columns, int64_t stride, float* to);
  // y[i] = a[i] + b[i]. y may be the same array as a.
  void (*add)(const float* a, const float* b, int64_t count, float* y);
};

}  // namespace byhand::cpu
