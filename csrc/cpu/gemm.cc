#include "ops/gemm.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

namespace {

// C is cut into blocks of at most kBlockRows x kBlockColumns, built in steps of kBlockDepth. With AVX2 a
// panel of B (depth x 16, 16 KB) stays in L1 while the row tiles pass; the block of A (120 KB) stays in L2.
constexpr int64_t kBlockRows = 120, kBlockColumns = 480, kBlockDepth = 256;

// Packing an operand costs a read and a write of it, so a panel must be used by this many tiles to pay.
constexpr int64_t kUsesWorthPacking = 8;

struct Product {
  float alpha;
  Matrix a, b;
  float beta;
  float* out;
};

// Rows [first, first + count) of `m` into a panel of `width` rows: row i, column p at to[p * width + i].
void pack(const GemmKernels& k, const Matrix& m, int64_t first, int count, float* to, int width) {
  const float* from = m.data + first * m.row_stride;
  if (m.column_stride == 1) return k.pack_rows(from, m.row_stride, count, m.columns, to, width);
  if (m.row_stride == 1) return k.pack_columns(from, m.column_stride, count, m.columns, to, width);
  for (int64_t p = 0; p < m.columns; ++p)
    for (int i = 0; i < width; ++i)
      to[p * width + i] = i < count ? from[i * m.row_stride + p * m.column_stride] : 0;
}

// The columns [begin, end) of depth of a matrix.
Matrix depth_slice(const Matrix& m, int64_t begin, int64_t count) {
  return {m.data + begin * m.column_stride, m.rows, count, m.row_stride, m.column_stride};
}

// One block of C over the whole depth, in order: the bits don't depend on how C was cut into blocks.
void block(const Product& g, Range rows, Range columns) {
  const KernelTable& table = kernels();
  const GemmKernels& k = table.gemm;
  const int width = k.vectors * table.lanes;
  const int64_t m = rows.end - rows.begin, n = columns.end - columns.begin;
  const int64_t row_tiles = ceil_div(m, k.rows), column_tiles = ceil_div(n, width);
  const bool pack_a = column_tiles >= kUsesWorthPacking;
  const bool pack_b = row_tiles >= kUsesWorthPacking || g.b.column_stride != 1;

  ScratchFrame frame;
  float* const a_panels = pack_a ? frame.allocate<float>(row_tiles * k.rows * kBlockDepth) : nullptr;
  float* const b_panel = pack_b ? frame.allocate<float>(width * kBlockDepth) : nullptr;

  const int64_t depth = g.a.columns;
  for (int64_t p = 0; p == 0 || p < depth; p += kBlockDepth) {  // once even for a depth of 0: beta * C
    const int64_t step = std::min(kBlockDepth, depth - p);
    const Matrix a = depth_slice(g.a, p, step), b = depth_slice(g.b.transposed(), p, step);
    const auto row_tile = [&](int64_t i) {
      const Range r = split(m, row_tiles, i);  // nearly equal tiles: a last one of a row or two would be slow
      return Range{rows.begin + r.begin, rows.begin + r.end};
    };
    if (pack_a)
      for (int64_t i = 0; i < row_tiles; ++i) {
        const Range r = row_tile(i);
        pack(k, a, r.begin, static_cast<int>(r.end - r.begin), a_panels + i * k.rows * step, k.rows);
      }
    for (int64_t j = columns.begin; j < columns.end; j += width) {
      GemmTile t{};
      t.depth = step;
      t.alpha = g.alpha;
      t.beta = p == 0 ? g.beta : 1;
      t.c_row_stride = g.b.columns;
      t.columns = static_cast<int>(std::min<int64_t>(width, columns.end - j));
      if (pack_b) pack(k, b, j, t.columns, b_panel, width);
      t.b = pack_b ? b_panel : b.data + j;
      t.b_row_stride = pack_b ? width : b.column_stride;
      const int64_t vectors = ceil_div(t.columns, table.lanes);
      const bool masked = t.columns < vectors * table.lanes;
      for (int64_t i = 0; i < row_tiles; ++i) {
        const Range r = row_tile(i);
        t.a = pack_a ? a_panels + i * k.rows * step : a.data + r.begin * a.row_stride;
        t.a_row_stride = pack_a ? 1 : a.row_stride;
        t.a_column_stride = pack_a ? k.rows : a.column_stride;
        t.c = g.out + r.begin * t.c_row_stride + j;
        k.tile[r.end - r.begin - 1][vectors - 1][masked](t);
      }
    }
  }
}

void copy(const Matrix& from, float* to) {
  for (int64_t i = 0; i < from.rows; ++i)
    for (int64_t j = 0; j < from.columns; ++j)
      to[i * from.columns + j] = from.data[i * from.row_stride + j * from.column_stride];
}

}  // namespace

void gemm(float alpha, Matrix a, Matrix b, float beta, Matrix c, float* out) {
  const int64_t m = a.rows, n = b.columns;
  if (m == 0 || n == 0) return;
  if (alpha == 0) a.columns = b.rows = 0;
  if (a.columns == 0) alpha = 0;
  if (beta != 0 && c.data != out) copy(c, out);

  const Product product{alpha, a, b, beta, out};
  const double ns =
      fma_ns(static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(a.columns + 1));
  int64_t row_blocks = ceil_div(m, kBlockRows), column_blocks = ceil_div(n, kBlockColumns);
  const int64_t threads = num_threads();
  if (row_blocks * column_blocks < threads) {  // an idle thread costs more than packing an operand twice
    int64_t& blocks = m >= n ? row_blocks : column_blocks;
    blocks = std::min(ceil_div(std::max(m, n), 16), blocks * ceil_div(threads, row_blocks * column_blocks));
  }
  const int64_t blocks = row_blocks * column_blocks;
  parallel_for(blocks, ns / static_cast<double>(blocks), [&](int64_t i) {
    block(product, split(m, row_blocks, i / column_blocks), split(n, column_blocks, i % column_blocks));
  });
}

}  // namespace byhand::ops
