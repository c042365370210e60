#include "ops/gemm.h"

#include "cpu/gemm/product.h"

namespace byhand::ops {

using namespace cpu;

namespace {

// Copies a matrix to the contiguous array `to`.
void copy(const Matrix& from, float* to) {
  for (int64_t i = 0; i < from.rows; ++i)
    for (int64_t j = 0; j < from.columns; ++j)
      to[i * from.columns + j] = from.data[i * from.row_stride + j * from.column_stride];
}

}  // namespace

void gemm(float alpha, Matrix a, Matrix b, float beta, Matrix c, float* out) {
  const int64_t m = a.rows, n = b.columns;
  if (alpha == 0) a.columns = b.rows = 0;
  if (a.columns == 0) alpha = 0;  // an infinite alpha times the empty sum would be NaN
  if (beta == 0) {                // C is not read, but its pointer must be valid
    c = {out, m, n, n, 1};
  } else if ((n == 1 ? c.row_stride : c.column_stride) != 1 &&
             c.data != out) {  // the products below need a C with contiguous rows
    copy(c, out);
    c = {out, m, n, n, 1};
  }
  if (n == 1)  // C is a column, so compute the transposed product, which has C as its row
    return multiply_on_all_threads({alpha, b.transposed(), a.transposed(), beta, c.data, m, out, m});
  multiply_on_all_threads({alpha, a, b, beta, c.data, c.row_stride, out, n});
}

}  // namespace byhand::ops
