#include "ops/linear.h"

#include <algorithm>

#include "cpu/activation.h"
#include "cpu/gemm_product.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

void linear(Matrix x, Matrix weight, const float* bias, Activation f, float* y) {
  const int64_t columns = weight.rows;
  Product product{1, x, weight.transposed(), 0, y, columns, y, columns};
  if (bias) product.beta = 1, product.c = bias, product.c_row_stride = 0;
  product.activation = forward_kernel(f);
  multiply_on_all_threads(product);
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
