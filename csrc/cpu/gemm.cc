#include "ops/gemm.h"

#include <algorithm>
#include <cmath>

#include "core/scratch.h"
#include "cpu/gemm_product.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand {
namespace cpu {

using ops::Matrix;

Matrix rows_of(const Matrix& m, Range rows) {
  return {m.data + rows.begin * m.row_stride, rows.end - rows.begin, m.columns, m.row_stride,
          m.column_stride};
}
Matrix columns_of(const Matrix& m, Range columns) { return rows_of(m.transposed(), columns).transposed(); }

void pack(const GemmKernels& k, const Matrix& m, float* to, int64_t width) {
  if (m.column_stride == 1) return k.pack_rows(m.data, m.row_stride, m.rows, m.columns, to, width);
  if (m.row_stride == 1) return k.pack_columns(m.data, m.column_stride, m.rows, m.columns, to, width);
  for (int64_t p = 0; p < m.columns; ++p)
    for (int64_t i = 0; i < m.rows; ++i)
      to[i / width * width * m.columns + p * width + i % width] =
          m.data[i * m.row_stride + p * m.column_stride];
}

namespace {

// The cost of bringing a value from a cache farther out, and of transposing it, in multiply-adds.
constexpr double kReadCost = 3, kTransposeCost = 8;

// The costs of dots, as measured: a load, and transposing a value. Rows are seldom aligned to more than 4
// values, so longer vectors cross cache lines.
double load_cost(const GemmKernels& k) { return k.lanes > 4 ? 2.4 : 1.25; }
constexpr double kDotTransposeCost = 24;

// The multiply-adds of a row of C in either way, with all that costs time counted as so many of them.
double cost_by_tiles(const Product& g) {
  const double lanes = kernels().gemm.lanes;
  const double m = static_cast<double>(g.rows()), depth = static_cast<double>(g.depth());
  const double n = std::ceil(static_cast<double>(g.columns()) / lanes * 2) * lanes / 2;  // to half a vector
  return n * depth + (g.b.column_stride == 1 ? 0 : kTransposeCost * n * depth / m);
}
double cost_by_dots(const Product& g) {
  const GemmKernels& k = kernels().gemm;
  const double rows = k.dot_rows, columns = k.dot_columns[k.dot_rows - 1];
  const double step = std::max(1.0, load_cost(k) * (rows + columns) / (rows * columns));
  const double m = static_cast<double>(g.rows()), n = static_cast<double>(g.columns());
  const double lanes = k.lanes, depth = static_cast<double>(g.depth());
  const double whole = std::ceil(depth / lanes) * lanes;
  const double sums = n * step * (whole + 6 * lanes);  // a sum over lanes takes six multiply-adds of vectors
  return sums + (g.a.column_stride == 1 ? 0 : kDotTransposeCost * depth) +
         (g.b.row_stride == 1 ? 0 : kDotTransposeCost * n * depth / m);
}

bool better_by_dots(const Product& g) { return cost_by_dots(g) < cost_by_tiles(g); }

void multiply_one_way(const Product& g, bool dots) {
  if (g.rows() == 0 || g.columns() == 0) return;
  if (dots) return multiply_by_dots(g);
  multiply_by_tiles(g, blocking_for(kernels().gemm));
}

// If two cores write into one row of C, the prefetcher of one fetches lines that the other is about to write.
// This takes about 70 ns per row, as long as this number of multiply-adds.
constexpr double kSharedRowCost = 4000;

// Weights are written after every step of training, and a line that other cores have read is taken back from
// them first, which takes 9 ns: a value as long as so many multiply-adds.
constexpr double kTakenBackCost = 30;

// The cut whose parts take the least for each p. Each thread reads for itself what it needs of A and B.
Parts::Cut best_cut(const Product& g, int64_t parts) {
  const int64_t lanes = kernels().gemm.lanes, vectors = ceil_div(g.columns(), lanes);
  const double own = (g.b.column_stride == 1 ? 0 : kTransposeCost) + (g.b_is_updated ? kTakenBackCost : 0);
  Parts::Cut best{1, 1};
  double least = INFINITY;
  for (int64_t row_parts = 1; row_parts <= std::min(parts, g.rows()); ++row_parts) {
    const Parts::Cut c{row_parts, std::min(parts / row_parts, vectors)};
    const double rows = static_cast<double>(ceil_div(g.rows(), c.rows));
    const double columns = static_cast<double>(ceil_div(vectors, c.columns) * lanes);
    const double shared = c.columns > 1 ? rows * kSharedRowCost / static_cast<double>(g.depth()) : 0;
    const double cost = rows * columns + kReadCost * (rows + columns) + own * columns + shared;
    if (cost < least) best = c, least = cost;
  }
  return best;
}

// A long sum into a small C is cut into chunks, so that the threads have something to share. They depend on
// the shape alone, and their sums are added up in order.
constexpr int64_t kChunk = 4096, kSmallC = 64 * 64;

void multiply_in_chunks(const Product& g) {
  const int64_t chunks = ceil_div(g.depth(), kChunk), count = g.rows() * g.columns();
  ScratchFrame frame;
  float* const sums = frame.allocate<float>((chunks - 1) * count);
  parallel_for(chunks, g.ns() / static_cast<double>(chunks), [&](int64_t i) {
    const Range d = split(g.depth(), chunks, i);
    Product chunk = g;
    chunk.a = columns_of(g.a, d);
    chunk.b = rows_of(g.b, d);
    chunk.activation = nullptr;
    if (i > 0) chunk.beta = 0, chunk.c = chunk.out = sums + (i - 1) * count;
    multiply(chunk);
  });
  kernels().reduce.add_rows(sums, chunks - 1, count, count, g.out);
  activate(g, g.out, g.rows(), g.columns());
}

// A long product is cut into more parts of rows than threads, where a part costs nothing of its own: whose
// processor is taken away for a while then leaves parts to the others.
int64_t parts_of_rows(const Product& g, const Parts::Cut& cut) {
  constexpr double kPartNs = 3'000'000;
  constexpr int64_t kTiles = 4;  // of rows, at least
  if (g.b.column_stride != 1) return cut.rows;
  const double parts = static_cast<double>(cut.rows * cut.columns);
  const int64_t finer = std::min(static_cast<int64_t>(g.ns() / parts / kPartNs),
                                 g.rows() / cut.rows / (kTiles * kernels().gemm.rows));
  return cut.rows * std::clamp<int64_t>(finer, 1, 8);
}

void copy(const Matrix& from, float* to) {
  for (int64_t i = 0; i < from.rows; ++i)
    for (int64_t j = 0; j < from.columns; ++j)
      to[i * from.columns + j] = from.data[i * from.row_stride + j * from.column_stride];
}

}  // namespace

Parts::Parts(const Product& product, int threads)
    : g_(product), cut_(best_cut(g_, threads)), dots_(better_by_dots(g_)) {
  cut_.rows = parts_of_rows(g_, cut_);
}

Range Parts::columns(int64_t i) const {
  const int64_t lanes = kernels().gemm.lanes;
  const Range v = split(ceil_div(g_.columns(), lanes), cut_.columns, i % cut_.columns);
  return {v.begin * lanes, std::min(v.end * lanes, g_.columns())};
}

Product Parts::operator[](int64_t i) const {
  const Range r = rows(i), c = columns(i);
  Product part = g_;
  part.a = rows_of(g_.a, r);
  part.b = columns_of(g_.b, c);
  part.c += r.begin * g_.c_row_stride + c.begin;
  part.out += r.begin * g_.out_row_stride + c.begin;
  return part;
}

void Parts::multiply(const Product& part) const { multiply_one_way(part, dots_); }

void multiply(const Product& g) { multiply_one_way(g, better_by_dots(g)); }

bool summed_in_chunks(const Product& g) {
  return g.depth() >= 2 * kChunk && g.rows() * g.columns() <= kSmallC;
}

void multiply_on_all_threads(const Product& g) {
  if (g.rows() == 0 || g.columns() == 0) return;
  if (summed_in_chunks(g)) return multiply_in_chunks(g);
  if (!worth_sharing(g.ns())) return multiply(g);
  const Parts parts(g, num_threads());
  parallel_for(parts.count(), parts.ns(), [&](int64_t i) { parts.multiply(parts[i]); });
}

void activate(const Product& g, float* out, int64_t rows, int64_t columns) {
  if (!g.activation) return;
  if (columns == g.out_row_stride) return g.activation(out, rows * columns, out);
  for (int64_t i = 0; i < rows; ++i)
    g.activation(out + i * g.out_row_stride, columns, out + i * g.out_row_stride);
}

}  // namespace cpu

void ops::gemm(float alpha, Matrix a, Matrix b, float beta, Matrix c, float* out) {
  using namespace cpu;
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

}  // namespace byhand
