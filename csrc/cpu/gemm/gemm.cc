#include "ops/gemm.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/gemm/product.h"
#include "cpu/kernels/gemm.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

namespace {

// Copies a matrix to the contiguous array `to`.
void copy(const Matrix& from, float* to) {
  for (int64_t i = 0; i < from.rows; ++i)
    for (int64_t j = 0; j < from.columns; ++j)
      to[i * from.columns + j] = from.data[i * from.row_stride + j * from.column_stride];
}

// Returns whether the transposed product is faster. Vectors along the few columns of C must have idle lanes.
// The columns of A must be contiguous, so that they fill vectors along the rows of C. And the sums must have
// enough terms to pay for transposing C. The number of terms is also more than twice the number of columns,
// so both copies of C together take less memory than A. Wider products gain less, or lose if A must be
// packed.
bool better_transposed(const Matrix& a, const Matrix& b) {
  constexpr int64_t kColumns = 12, kTerms = 32;
  const int64_t lanes = kernels<GemmKernels>().lanes, n = b.columns;
  return a.row_stride == 1 && a.column_stride != 1 && n <= kColumns && n < 2 * lanes && n % lanes != 0 &&
         a.rows >= 2 * lanes && a.columns >= kTerms;
}

// Computes C' = alpha * B' A' + beta * C' in scratch memory, where a prime denotes the transpose.
void gemm_transposed(float alpha, const Matrix& a, const Matrix& b, float beta, const Matrix& c, float* out) {
  const GemmKernels& k = kernels<GemmKernels>();
  const int64_t m = a.rows, n = b.columns;
  ScratchFrame frame;
  float* const product = frame.allocate<float>(n * m);
  float* const result = frame.allocate<float>(m * n + k.lanes);
  if (beta != 0) copy(c.transposed(), product);
  multiply_on_all_threads({alpha, b.transposed(), a.transposed(), beta, product, m, product, m});
  pack(k, {product, n, m, m, 1}, result, n, m * n);
  std::copy_n(result, m * n, out);
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
  if (better_transposed(a, b)) return gemm_transposed(alpha, a, b, beta, c, out);
  multiply_on_all_threads({alpha, a, b, beta, c.data, c.row_stride, out, n});
}

}  // namespace byhand::ops
