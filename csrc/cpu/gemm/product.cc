// The choice between tiles and dot products, and views of matrices.
#include "cpu/gemm/product.h"

#include <algorithm>
#include <cmath>

#include "cpu/runtime/registry.h"

namespace byhand::cpu {

using ops::Matrix;

namespace {

// Costs are counted in multiply-adds. Every other operation counts as the number of multiply-adds that take
// as long.

// The measured cost of transposing a value for dot products.
constexpr double kDotTransposeCost = 24;

// The measured cost of loading a vector for dot products, in multiply-adds of vectors. Rows are seldom
// aligned to more than 4 values, so a load of a longer vector often crosses the border of a cache line.
double load_cost(const GemmKernels& k) { return k.lanes > 4 ? 2.4 : 1.25; }

// Return the cost per row of C, by tiles and by dot products.
double cost_by_tiles(const Product& g) {
  const double lanes = kernels<GemmKernels>().lanes;
  const double m = static_cast<double>(g.rows()), depth = static_cast<double>(g.depth());
  const double n =
      std::ceil(static_cast<double>(g.columns()) / lanes * 2) * lanes / 2;  // rounded up to half a vector
  return n * depth + (g.b.column_stride == 1 ? 0 : kTileTransposeCost * n * depth / m);
}
double cost_by_dots(const Product& g) {
  const GemmKernels& k = kernels<GemmKernels>();
  const double rows = k.dot_rows, columns = k.dot_columns[k.dot_rows - 1];
  // The cost per multiply-add of vectors. If a tile needs many loads, these take longer than the arithmetic.
  const double per_product = std::max(1.0, load_cost(k) * (rows + columns) / (rows * columns));
  const double m = static_cast<double>(g.rows()), n = static_cast<double>(g.columns());
  const double lanes = k.lanes, depth = static_cast<double>(g.depth());
  const double padded_depth = std::ceil(depth / lanes) * lanes;
  // Adding up the lanes of a sum takes as long as six multiply-adds of vectors.
  const double sums = n * per_product * (padded_depth + 6 * lanes);
  return sums + (g.a.column_stride == 1 ? 0 : kDotTransposeCost * depth) +
         (g.b.row_stride == 1 ? 0 : kDotTransposeCost * n * depth / m);
}

}  // namespace

bool better_by_dots(const Product& g) { return cost_by_dots(g) < cost_by_tiles(g); }

void multiply(const Product& g, bool by_dots) {
  if (g.rows() == 0 || g.columns() == 0) return;
  if (by_dots) return multiply_by_dots(g);
  multiply_by_tiles(g);
}

void multiply(const Product& g) { multiply(g, better_by_dots(g)); }

void activate(const Product& g, float* out, int64_t rows, int64_t columns) {
  if (!g.activation) return;
  if (columns == g.out_row_stride) return g.activation(out, rows * columns, out);
  for (int64_t i = 0; i < rows; ++i)
    g.activation(out + i * g.out_row_stride, columns, out + i * g.out_row_stride);
}

Matrix rows_of(const Matrix& m, Range rows) {
  return {m.data + rows.begin * m.row_stride, rows.end - rows.begin, m.columns, m.row_stride,
          m.column_stride};
}
Matrix columns_of(const Matrix& m, Range columns) { return rows_of(m.transposed(), columns).transposed(); }

}  // namespace byhand::cpu
