// The matrix product by dot products, with vectors along the depth, the index p of sum_p A[i, p] * B[p, j].
// This suits a narrow C: vectors along its few columns would have idle lanes.

#include "core/scratch.h"
#include "cpu/gemm/product.h"
#include "cpu/kernels/gemm.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {

using ops::Matrix;

namespace {

// Returns a matrix with the values of `rows` in which each row is contiguous: `rows` itself, or a copy in
// `to`.
Matrix with_adjacent_depth(const GemmKernels& k, const Matrix& rows, float* to) {
  if (rows.column_stride == 1) return rows;
  pack(k, rows.transposed(), to, rows.columns, rows.rows * rows.columns);
  return {to, rows.rows, rows.columns, rows.columns, 1};
}

}  // namespace

void multiply_by_dots(const Product& g) {
  const GemmKernels& k = kernels<GemmKernels>();
  const int64_t m = g.rows(), n = g.columns(), depth = g.depth();
  const int64_t row_tiles = ceil_div(m, k.dot_rows);
  const int64_t column_tiles = ceil_div(n, k.dot_columns[ceil_div(m, row_tiles) - 1]);
  const Split row_ranges(m, row_tiles), column_ranges(n, column_tiles);

  ScratchFrame frame;
  float* const b_copy = g.b.row_stride == 1 ? nullptr : frame.allocate<float>(n * depth + k.lanes);
  float* const a_copy =
      g.a.column_stride == 1 ? nullptr : frame.allocate<float>(k.dot_rows * depth + k.lanes);
  const Matrix b = with_adjacent_depth(k, g.b.transposed(), b_copy);
  GemmDot t{};
  t.depth = depth;
  t.b_row_stride = b.row_stride, t.c_row_stride = g.c_row_stride, t.out_row_stride = g.out_row_stride;
  t.alpha = g.alpha, t.beta = g.beta;
  for (int64_t i = 0; i < row_tiles; ++i) {
    const Range r = row_ranges[i];
    const Matrix a = with_adjacent_depth(k, rows_of(g.a, r), a_copy);
    t.a = a.data, t.a_row_stride = a.row_stride;
    for (int64_t j = 0; j < column_tiles; ++j) {
      const Range c = column_ranges[j];
      t.b = b.data + c.begin * b.row_stride;
      t.c = g.c + r.begin * g.c_row_stride + c.begin;
      t.out = g.out + r.begin * g.out_row_stride + c.begin;
      k.dot[r.end - r.begin - 1][c.end - c.begin - 1](t);
    }
    activate(g, g.out + r.begin * g.out_row_stride, r.end - r.begin, n);
  }
}

}  // namespace byhand::cpu
