// Matrix product.
//   out = alpha * A B + beta * C,   A (m, k), B (k, n), C and out (m, n)
// A, B and C are read through any strides (0 and negative ones too); rows of `out` are contiguous.
// beta == 0: C is not read, so that NaN in it cannot leak. alpha == 0 or k == 0: A and B are not read.
// NaN and Inf in A and B follow IEEE arithmetic; there is no shortcut for zeros.
// `out` may be C itself (same data, same strides); otherwise it overlaps none of the inputs.
// Source: Dongarra et al., "A set of level 3 Basic Linear Algebra Subprograms", ACM TOMS 16 (1990).
#pragma once

#include <stdint.h>

namespace byhand::ops {

struct Matrix {
  const float* data;
  int64_t rows, columns;
  int64_t row_stride, column_stride;  // in elements

  Matrix transposed() const { return {data, columns, rows, column_stride, row_stride}; }
};

// The cost of A B: the depth plus one per value of the result, which is written for a depth of 0, too.
inline double multiply_adds(const Matrix& a, const Matrix& b) {
  return static_cast<double>(a.rows) * static_cast<double>(b.columns) * static_cast<double>(a.columns + 1);
}

void gemm(float alpha, Matrix a, Matrix b, float beta, Matrix c, float* out);

}  // namespace byhand::ops
