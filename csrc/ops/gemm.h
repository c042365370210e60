// Matrix product.
//   out = alpha * A B + beta * C,   A (m, k), B (k, n), C and out (m, n)
// A, B and C may have any strides, including 0 and negative ones. `out` is contiguous. It may be C itself,
// with the same data and the same strides. Apart from that, it overlaps no input.
//
// If beta is 0, C is not read, so a NaN in it has no effect. If alpha or k is 0, A and B are not read.
// A NaN or an infinity in a matrix that is read follows IEEE arithmetic: products with a zero are not
// skipped.
//
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

// Returns the cost of A B in multiply-adds. Each value of the result costs k, and one more for writing the
// value, which is done even if k is 0.
inline double multiply_adds(const Matrix& a, const Matrix& b) {
  return static_cast<double>(a.rows) * static_cast<double>(b.columns) * static_cast<double>(a.columns + 1);
}

void gemm(float alpha, Matrix a, Matrix b, float beta, Matrix c, float* out);

}  // namespace byhand::ops
