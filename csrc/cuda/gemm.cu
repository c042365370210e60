// The matrix product of ops/gemm.h.
#include "cuda/ops.h"
#include "cuda/tile_product.cuh"

namespace byhand::cuda {
namespace {

// out = alpha * z + beta * C
struct StoreSum {
  float alpha, beta;
  const float* c;
  int64_t c_row_stride, c_column_stride;
  float* out;
  int64_t columns;

  __device__ int64_t column(int64_t j) const { return j; }
  __device__ void operator()(int64_t i, int64_t j, float z) const {
    float value = alpha == 1.0f ? z : alpha * z;
    if (beta != 0.0f) value += beta * c[i * c_row_stride + j * c_column_stride];
    out[i * columns + j] = value;
  }
};

}  // namespace

void gemm(float alpha, ops::Matrix a, ops::Matrix b, float beta, ops::Matrix c, float* out) {
  // If alpha is 0, A and B are not read: a product of depth 0 gives zeros. An infinite alpha times such a
  // zero would be NaN, so the factor is 1 then.
  const int64_t depth = alpha == 0.0f ? 0 : a.columns;
  const float factor = depth == 0 ? 1.0f : alpha;
  product(Operand{a.data, a.rows, depth, a.row_stride, a.column_stride},
          Operand{b.data, b.columns, depth, b.column_stride, b.row_stride},
          StoreSum{factor, beta, c.data, c.row_stride, c.column_stride, out, b.columns}, "gemm");
}

}  // namespace byhand::cuda
