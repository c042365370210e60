// A matrix product on all threads. Either C is cut into parts, or the depth into chunks.
#include <algorithm>
#include <cmath>

#include "core/scratch.h"
#include "cpu/gemm/product.h"
#include "cpu/kernels/reduce.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// The cost of reading a value of A or B from an outer cache, in multiply-adds.
constexpr double kReadCost = 3;

// The additional cost of a row of C into which two cores write, in multiply-adds. The prefetcher of one core
// fetches cache lines that the other core is about to write. This delays the other core by about 70 ns per
// row.
constexpr double kSharedRowCost = 4000;

// The additional cost of one weight that a part reads, in multiply-adds. The optimizer writes the weights
// after every training step. Before a core can write a cache line that other cores have read, it must take
// the line back from them. This takes 9 ns per line, which the cost divides among the 16 values of the line.
constexpr double kTakenBackCost = 30;

// Returns the cut whose largest part is the cheapest. The cost of a part is counted in multiply-adds per
// index p of the depth. It includes reading the part's rows of A and columns of B, because every part reads
// its own.
Parts::Cut best_cut(const Product& g, int64_t parts) {
  const int64_t lanes = kernels<GemmKernels>().lanes, vectors = ceil_div(g.columns(), lanes);
  const double per_b_value =
      (g.b.column_stride == 1 ? 0 : kTileTransposeCost) + (g.b_is_updated ? kTakenBackCost : 0);
  Parts::Cut best{1, 1};
  double least = INFINITY;
  for (int64_t row_parts = 1; row_parts <= std::min(parts, g.rows()); ++row_parts) {
    const Parts::Cut c{row_parts, std::min(parts / row_parts, vectors)};
    const double rows = static_cast<double>(ceil_div(g.rows(), c.rows));
    const double columns = static_cast<double>(ceil_div(vectors, c.columns) * lanes);
    const double shared = c.columns > 1 ? rows * kSharedRowCost / static_cast<double>(g.depth()) : 0;
    const double cost = rows * columns + kReadCost * (rows + columns) + per_b_value * columns + shared;
    if (cost < least) best = c, least = cost;
  }
  return best;
}

// A product is cut into chunks of the depth if its depth is at least 2 * kChunk and C has at most kSmallC
// values. Such a C is too small to share, but the threads can share the chunks. A chunk has at most kChunk
// terms of each sum. The depth alone decides the chunks, and their sums are added in order.
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
  kernels<ReduceKernels>().add_rows(sums, chunks - 1, count, count, g.out);
  activate(g, g.out, g.rows(), g.columns());
}

// Returns the number of parts in the direction of the rows. A long product gets up to 8 times as many parts
// as `cut` has. If the system then pauses one thread, the other threads take over its remaining parts. If
// each part copies B, the parts must be high, because a copy costs as much as one tile of rows, and two to
// three tiles if B is larger than the caches. With 64 instead of 24 tiles, 2048 cubed is 8 % faster (Zen 5).
// If each part transposes B, which costs more, there are no more parts.
int64_t row_parts(const Product& g, const Parts::Cut& cut) {
  constexpr double kPartNs = 3'000'000;  // the minimum duration of a part, in nanoseconds
  if (g.b.column_stride != 1) return cut.rows;
  const int64_t tile_rows = kernels<GemmKernels>().rows_of_two_vectors();
  // The minimum height of a part, in tiles.
  const int64_t tiles = worth_packing_b(g.b, g.rows() / cut.rows / tile_rows) ? 64 : 4;
  const double parts = static_cast<double>(cut.rows * cut.columns);
  const int64_t finer =
      std::min(static_cast<int64_t>(g.ns() / parts / kPartNs), g.rows() / cut.rows / (tiles * tile_rows));
  return cut.rows * std::clamp<int64_t>(finer, 1, 8);
}

}  // namespace

Parts::Parts(const Product& product, int threads)
    : g_(product), cut_(best_cut(g_, threads)), by_dots_(better_by_dots(g_)) {
  cut_.rows = row_parts(g_, cut_);
}

Range Parts::columns(int64_t i) const {
  const int64_t lanes = kernels<GemmKernels>().lanes;
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

bool summed_in_chunks(const Product& g) {
  return g.depth() >= 2 * kChunk && g.rows() * g.columns() <= kSmallC;
}

void multiply_on_all_threads(const Product& g) {
  if (g.rows() == 0 || g.columns() == 0) return;
  if (summed_in_chunks(g)) return multiply_in_chunks(g);
  if (!worth_sharing(g.ns())) return parallel_for(1, g.ns(), [&](int64_t) { multiply(g); });
  const Parts parts(g, num_threads());
  parallel_for(parts.count(), parts.ns(), [&](int64_t i) { parts.multiply(parts[i]); });
}

}  // namespace byhand::cpu
