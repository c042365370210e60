#include "ops/linear.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/activation.h"
#include "cpu/gemm/product.h"
#include "cpu/kernels/activation.h"
#include "cpu/kernels/reduce.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

namespace {

// Computes db, the sum of dy over its rows, for a block of adjacent columns.
void sum_rows(const Matrix& dy, float* db) {
  std::fill_n(db, dy.columns, 0.0f);
  kernels<ReduceKernels>().add_rows(dy.data, dy.rows, dy.columns, dy.row_stride, db);
}

// Computes the products one after another. Each is shared among the threads if that pays.
void backward_in_turn(ActivationKernels::Backward f, const LinearGradients& g, const Matrix& dy) {
  ScratchFrame frame;
  Matrix dz = dy;
  if (f) {
    float* const values = frame.allocate<float>(dy.rows * dy.columns);
    activation_backward(f, g.dy, g.y, dy.rows * dy.columns, values);
    dz.data = values;
  }
  linear_backward_weight(dz, g.x, g.dw);
  if (g.db) linear_backward_bias(dz.data, dz.rows, dz.columns, g.db);
  if (g.dx) linear_backward_input(dz, g.weight, g.dx);
}

// Returns dz, the gradient with respect to the activation's input, for a block of dy. y has the layout of dy.
Matrix block_of_dz(ActivationKernels::Backward f, const LinearGradients& g, const Matrix& dy,
                   ScratchFrame& frame) {
  if (!f) return dy;
  float* const dz = frame.allocate<float>(dy.rows * dy.columns);
  const float* const y = g.y + (dy.data - g.dy);
  if (dy.row_stride == dy.columns) {
    f(dy.data, y, dy.rows * dy.columns, dz);
  } else {
    for (int64_t i = 0; i < dy.rows; ++i)
      f(dy.data + i * dy.row_stride, y + i * dy.row_stride, dy.columns, dz + i * dy.columns);
  }
  return {dz, dy.rows, dy.columns, dy.columns, 1};
}

// Computes all gradients in one call of parallel_for: the threads share the parts of both products. Each part
// computes the values of dz that it needs, although another part may compute the same values. A value of dz
// takes as long as a few multiply-adds, but waiting for another thread takes as long as thousands of them.
void backward_in_parts(ActivationKernels::Backward f, const LinearGradients& g, const Product& dw,
                       const Product& dx) {
  const Parts dw_parts(dw, num_threads()), dx_parts(dx, num_threads());
  const int64_t count = dw_parts.count() + (g.dx ? dx_parts.count() : 0);
  const double ns = dw.ns() + (g.dx ? dx.ns() : 0);
  parallel_for(count, ns / static_cast<double>(count), [&](int64_t i) {
    ScratchFrame frame;
    if (i >= dw_parts.count()) {
      Product part = dx_parts[i - dw_parts.count()];
      part.a = block_of_dz(f, g, part.a, frame);
      return dx_parts.multiply(part);
    }
    Product part = dw_parts[i];
    const Matrix dz = block_of_dz(f, g, part.a.transposed(), frame);
    if (g.db && dw_parts.columns(i).begin == 0) sum_rows(dz, g.db + dw_parts.rows(i).begin);
    part.a = dz.transposed();
    dw_parts.multiply(part);
  });
}

// out = A B
Product product(const Matrix& a, const Matrix& b, float* out) {
  return {1, a, b, 0, out, b.columns, out, b.columns};
}

}  // namespace

void linear(Matrix x, Matrix weight, const float* bias, Activation f, float* y) {
  const int64_t columns = weight.rows;
  Product product{1, x, weight.transposed(), 0, y, columns, y, columns};
  if (bias) product.beta = 1, product.c = bias, product.c_row_stride = 0;
  product.activation = forward_kernel(f);
  product.b_is_updated = true;
  multiply_on_all_threads(product);
}

void linear_backward_input(Matrix dy, Matrix weight, float* dx) { gemm(1, dy, weight, 0, {}, dx); }

void linear_backward_weight(Matrix dy, Matrix x, float* dw) { gemm(1, dy.transposed(), x, 0, {}, dw); }

void linear_backward_bias(const float* dy, int64_t rows, int64_t columns, float* db) {
  constexpr int64_t kColumns = 64;  // the number of columns per task
  const Matrix whole{dy, rows, columns, columns, 1};
  parallel_for(ceil_div(columns, kColumns), memory_ns(static_cast<double>(rows * kColumns) * 4),
               [&](int64_t i) {
                 const Range own{i * kColumns, std::min((i + 1) * kColumns, columns)};
                 sum_rows(columns_of(whole, own), db + own.begin);
               });
}

void linear_act_backward(Activation f, const LinearGradients& g) {
  const Matrix dy{g.dy, g.x.rows, g.weight.rows, g.weight.rows, 1};
  const Product dw = product(dy.transposed(), g.x, g.dw), dx = product(dy, g.weight, g.dx);
  // backward_in_parts gives the same bits as gemm, except in two cases: gemm sums a product in chunks, or dw
  // and dx have a single column, so gemm computes the transposed products. In these two cases, and if the
  // products are too short to share, the gradients are computed in turn.
  const bool in_parts = g.x.columns > 1 && !summed_in_chunks(dw) && !summed_in_chunks(dx);
  if (in_parts && worth_sharing(dw.ns()))  // dx takes about as long as dw
    backward_in_parts(backward_kernel(f), g, dw, dx);
  else
    backward_in_turn(backward_kernel(f), g, dy);
}

}  // namespace byhand::ops
