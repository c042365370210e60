#include "ops/gemm.h"

#include "cpu/gemm/product.h"

namespace byhand::ops {

using namespace cpu;

namespace {

void copy(const Matrix& from, float* to) {
  for (int64_t i = 0; i < from.rows; ++i)
    for (int64_t j = 0; j < from.columns; ++j)
      to[i * from.columns + j] = from.data[i * from.row_stride + j * from.column_stride];
}

}  // namespace

void gemm(float alpha, Matrix a, Matrix b, float beta, Matrix c, float* out) {
  const int64_t m = a.rows, n = b.columns;
  if (alpha == 0) a.columns = b.rows = 0;
  if (a.columns == 0) alpha = 0;
  if (beta == 0) {
    c = {out, m, n, n, 1};
  } else if ((n == 1 ? c.row_stride : c.column_stride) != 1 && c.data != out) {
    copy(c, out);
    c = {out, m, n, n, 1};
  }
  if (n == 1)  // a column of C is the row of the transposed product
    return multiply_on_all_threads({alpha, b.transposed(), a.transposed(), beta, c.data, m, out, m});
  multiply_on_all_threads({alpha, a, b, beta, c.data, c.row_stride, out, n});
}

}  // namespace byhand::ops
