#include "ops/linear.h"

#include <algorithm>

#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

void linear(Matrix x, Matrix weight, const float* bias, float* y) {
  const Matrix out{y, x.rows, weight.rows, weight.rows, 1};
  if (bias)
    for (int64_t i = 0; i < out.rows; ++i) std::copy_n(bias, out.columns, y + i * out.columns);
  gemm(1, x, weight.transposed(), bias ? 1.0f : 0.0f, out, y);
}

void linear_backward_input(Matrix dy, Matrix weight, float* dx) { gemm(1, dy, weight, 0, {}, dx); }

void linear_backward_weight(Matrix dy, Matrix x, float* dw) { gemm(1, dy.transposed(), x, 0, {}, dw); }

void linear_backward_bias(const float* dy, int64_t rows, int64_t columns, float* db) {
  // Sums of blocks are added up: the error of one long float32 sum would grow with the rows.
  constexpr int64_t kRows = 256, kColumns = 64;
  const auto add_rows = kernels().reduce.add_rows;
  std::fill_n(db, columns, 0.0f);
  if (rows == 0) return;
  parallel_for(ceil_div(columns, kColumns), memory_ns(static_cast<double>(rows * kColumns) * 4),
               [&](int64_t i) {
                 const int64_t first = i * kColumns, count = std::min(kColumns, columns - first);
                 for (int64_t r = 0; r < rows; r += kRows)
                   add_rows(dy + r * columns + first, std::min(kRows, rows - r), count, columns, db + first);
               });
}

}  // namespace byhand::ops
