#include "ops/linear.h"

#include <algorithm>

#include "cpu/runtime/registry.h"

namespace byhand::ops {

void linear(Matrix x, Matrix weight, const float* bias, float* y) {
  const Matrix out{y, x.rows, weight.rows, weight.rows, 1};
  if (bias)
    for (int64_t i = 0; i < out.rows; ++i) std::copy_n(bias, out.columns, y + i * out.columns);
  gemm(1, x, weight.transposed(), bias ? 1.0f : 0.0f, out, y);
}

void linear_backward_input(Matrix dy, Matrix weight, float* dx) { gemm(1, dy, weight, 0, {}, dx); }

void linear_backward_weight(Matrix dy, Matrix x, float* dw) { gemm(1, dy.transposed(), x, 0, {}, dw); }

void linear_backward_bias(const float* dy, int64_t rows, int64_t columns, float* db) {
  std::fill_n(db, columns, 0.0f);
  cpu::kernels().reduce.add_rows(dy, rows, columns, columns, db);
}

}  // namespace byhand::ops
