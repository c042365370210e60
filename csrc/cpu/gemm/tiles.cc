// The matrix product by tiles. A tile is a part of C, a few rows high and a few vectors wide. It stays in
// registers during a step of the depth:
//
//   for a step of the depth          short enough that a tile's rows of A stay in L1
//     for a block of columns         narrow enough that its part of B stays in L2 and L3
//       for a tile of rows
//         for a tile of columns      A comes from L1, B is prefetched and read once per tile of rows
//
// A panel is a packed copy of the values of B, or of A, that one tile reads. The values for one p, an index
// of the depth, lie side by side, directly behind those for p - 1. worth_packing_a and worth_packing_b say
// when a copy pays.
//
// Each thread runs these loops on its own part of C. The depth alone decides where steps begin. So the bits
// of the result depend neither on the blocks nor on the parts.
#include <algorithm>

#include "core/scratch.h"
#include "cpu/gemm/product.h"
#include "cpu/kernels/gemm.h"
#include "cpu/runtime/machine.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {

using ops::Matrix;

namespace {

// How far B is prefetched, in tiles: while a tile reads its part of a row of an unpacked B, it prefetches the
// part that belongs to the tile kTilesAhead tiles later. It prefetches the number of cache lines that an
// aligned part has. A part that is not aligned lies in one more line, which is also the first line of the
// next part. So the last line of tile 2's part is prefetched together with the part of tile 3. With a
// distance of two tiles, this happens while tile 1 runs. With a distance of one tile, it would happen while
// tile 2 runs, which is too late, because tile 2 itself needs the line.
constexpr int64_t kTilesAhead = 2;

// The number of values that are prefetched from the beginning of each row of A, for the next tile of rows.
// After these few cache lines, the hardware prefetcher recognises the stream and fetches the rest.
constexpr int64_t kValuesAhead = 64;
void prefetch_rows(const Matrix& a) {
  for (int64_t p = 0; p < std::min(a.columns, kValuesAhead); p += kCacheLineFloats)
    for (int64_t i = 0; i < a.rows; ++i)
      __builtin_prefetch(a.data + i * a.row_stride + p * a.column_stride, 0, 2);
}

// The tiles that C is cut into. They are nearly equal, because a last tile of only one or two rows would be
// slow.
struct Tiling {
  Tiling(const GemmKernels& kernels, int64_t rows, int64_t columns)
      : k(kernels),
        m(rows),
        n(columns),
        vectors(ceil_div(n, k.lanes)),
        row_tiles(ceil_div(m, k.rows[widest(vectors) - 1])),
        column_tiles(ceil_div(vectors, k.vectors[ceil_div(m, row_tiles) - 1])),
        row_ranges(m, row_tiles),
        vector_ranges(vectors, column_tiles) {}

  // The width of the widest tiles, in vectors. Tiles with two vectors need about half as many loads per
  // multiply-add as tiles with one vector. But a narrow C with 3 or 5 vectors would need a tile with one
  // vector, too, which is slow if it is not higher than the others. Tiles with three vectors avoid that. In a
  // wider C it hardly matters, and tiles with three vectors read more of B.
  static int64_t widest(int64_t vectors) {
    if (vectors == 3 || vectors == 5) return 3;
    return std::min<int64_t>(vectors, 2);
  }

  Range rows(int64_t i) const { return row_ranges[i]; }
  // The columns of tile j. The last tile may end beyond n.
  Range columns(int64_t j) const {
    const Range v = vector_ranges[j];
    return {v.begin * k.lanes, v.end * k.lanes};
  }

  const GemmKernels& k;
  const int64_t m, n, vectors, row_tiles, column_tiles;
  const Split row_ranges, vector_ranges;
};

// One block of columns in one step of the depth.
struct Block {
  const Tiling& tiling;
  Matrix a, b;    // all rows of A and all columns of B, restricted to this step of the depth
  GemmTile tile;  // the fields that all tiles share; c and out point to the whole matrices
  Range column_tiles;
  float* a_panel;           // room for a tile's rows of A; null if A is not packed
  float* b_panels;          // room for all panels of the block; null if B is not packed
  float* b_rest;            // room for the values of GemmTile::b_rest; null if there are none
  const Product* finished;  // the product, whose activation the last step applies; null before the last step

  // The distance between two panels of this width. Without the additional cache line, panels of 4, 8, 16 KB
  // and so on would evict each other from L1, because pack_b writes a row of all panels at a time.
  int64_t panel_size(int64_t width) const { return width * tile.depth + kCacheLineFloats; }
  float* b_panel(int64_t j) const {
    return b_panels + (tiling.columns(j).begin - tiling.columns(column_tiles.begin).begin) * tile.depth +
           (j - column_tiles.begin) * kCacheLineFloats;
  }
  void pack_b() const;
  void pack_rest() const;
  void multiply() const;
  void multiply_row(GemmTile t, int64_t rows) const;
};

// Packs all panels of equal width together, because reading long pieces of the rows of B from memory is
// faster than reading the short pieces that belong to one panel.
void Block::pack_b() const {
  const auto width = [&](int64_t j) { return tiling.columns(j).end - tiling.columns(j).begin; };
  for (int64_t j = column_tiles.begin; j < column_tiles.end;) {
    const int64_t first = j;
    while (j < column_tiles.end && width(j) == width(first)) ++j;
    const Range c{tiling.columns(first).begin, std::min(tiling.columns(j - 1).end, tiling.n)};
    pack(tiling.k, columns_of(b, c).transposed(), b_panel(first), width(first), panel_size(width(first)));
  }
}

// Copies the values that tiles with a cut edge read from GemmTile::b_rest. Behind them is room for whole
// vectors, whose values do not matter.
void Block::pack_rest() const {
  const Range last = tiling.columns(tiling.column_tiles - 1);
  for (int64_t i = 0; i < tile.rest_terms; ++i)
    std::copy_n(b.data + (tile.depth - tile.rest_terms + i) * b.row_stride + last.begin,
                tiling.n - last.begin, b_rest + i * (last.end - last.begin));
}

void Block::multiply() const {
  if (b_panels) pack_b();
  if (tile.rest_terms > 0 && column_tiles.end == tiling.column_tiles) pack_rest();
  for (int64_t i = 0; i < tiling.row_tiles; ++i) {
    const Range r = tiling.rows(i);
    const Matrix rows = rows_of(a, r);
    GemmTile t = tile;
    t.c += r.begin * t.c_row_stride;
    t.out += r.begin * t.out_row_stride;
    if (a_panel) {
      pack(tiling.k, rows, a_panel, rows.rows, rows.rows * rows.columns);
      t.a = a_panel, t.a_row_stride = 1, t.a_column_stride = rows.rows;
    } else {
      t.a = rows.data, t.a_row_stride = rows.row_stride, t.a_column_stride = rows.column_stride;
    }
    if (a.column_stride == 1 && i + 1 < tiling.row_tiles) prefetch_rows(rows_of(a, tiling.rows(i + 1)));
    multiply_row(t, rows.rows);
    if (finished) {
      const int64_t first = tiling.columns(column_tiles.begin).begin;
      const int64_t end = std::min(tiling.columns(column_tiles.end - 1).end, tiling.n);
      activate(*finished, t.out + first, rows.rows, end - first);
    }
  }
}

// Everything that changes from tile to tile is computed from the tile before it by a few additions. A sum of
// 32 terms takes only 192 cycles of multiply-adds in a tile of 6 x 2 vectors.
void Block::multiply_row(GemmTile t, int64_t rows) const {
  int64_t first = tiling.columns(column_tiles.begin).begin;
  t.b = b_panels ? b_panels : b.data + first;
  t.b_rest = b_rest;
  t.c += first;
  t.out += first;
  for (int64_t j = column_tiles.begin; j < column_tiles.end; ++j) {
    const int64_t vectors = tiling.vector_ranges.length(j), width = vectors * tiling.k.lanes;
    const int64_t columns = std::min(width, tiling.n - first);
    t.columns = static_cast<int>(columns);
    t.b_row_stride = b_panels ? width : b.row_stride;
    t.b_ahead = !b_panels && j + kTilesAhead < column_tiles.end ? kTilesAhead * width : 0;
    const GemmEdge edge = columns == width                       ? kWholeEdge
                          : columns > width - tiling.k.lanes / 2 ? kCutEdge
                                                                 : kHalfEdge;
    tiling.k.tile[rows - 1][vectors - 1][edge](t);
    t.b += b_panels ? panel_size(width) : width;
    t.c += width;
    t.out += width;
    first += width;
  }
}

// Returns whether `count` cache lines at this distance, in floats, evict each other, because L1 can keep only
// a few of them (section 7 of docs/gemm.md). L1 has 64 sets of at least 8 lines. If the distance is a whole
// number of lines that is divisible by 2^i, the lines share 64 / 2^i sets.
bool are_aliased(int64_t distance, int64_t count) {
  const int64_t lines = distance / kCacheLineFloats, divisor = lines & -lines;
  return distance % kCacheLineFloats == 0 && lines > 0 && count > 8 * 64 / std::min<int64_t>(divisor, 64);
}

// Returns whether packing A pays, for steps of this length. Enough tiles must read the same rows of A, so
// that they share one copy, and reading A in place must be slow:
// - The values of A that a tile reads evict each other. Lower tiles use fewer values of each cache line, so
//   they gain more.
// - A is transposed, and the cache lines that a tile reads fill L1, but the tile uses less than half of them.
// In other cases, packing gains nothing.
bool worth_packing_a(const Matrix& a, int64_t step, const Tiling& t) {
  const int64_t rows = t.k.rows_of_two_vectors();
  const bool transposed = a.column_stride != 1;
  if (is_aliased(a.row_stride) || (transposed && are_aliased(a.column_stride, step)))
    return t.column_tiles >= rows * 2 / 3;
  return transposed && step * kCacheLineFloats > kL1Floats * 7 / 8 && 2 * rows < kCacheLineFloats &&
         t.column_tiles >= 16;
}

// The number of values of a packed B in a block: 1 MB. Larger blocks leave the L2 caches of most CPUs.
constexpr int64_t kPackedFloats = 1024 * 1024 / 4;

// Intel's CPUs with a large L2 have a slow L3 (section 6 of docs/gemm.md).
bool has_large_l2() { return l2_bytes() >= 2 * 1024 * 1024; }

// Returns the number of values of a B that is read in place in a block. Every tile of rows reads them again:
// from a large L2, or else from L2 and the core's share of L3.
int64_t floats_in_place() {
  return has_large_l2() ? std::min(l2_bytes() / 2 / 4, kSharedFloats) : kSharedFloats;
}

// Returns the maximum length of a step. In a step, a tile's rows of A take at most 7/8 of L1. The rest is for
// B and C. Steps longer than 512 gain nothing.
int64_t longest_step(const GemmKernels& k) {
  return std::min<int64_t>(512, kL1Floats * 7 / 8 / k.rows_of_two_vectors());
}

// Returns the number of last rows of a step of B behind whose columns there may be no memory
// (GemmTile::rest_terms). A vector that reaches beyond the columns of another row reads values of the rows
// that follow it. If no rows follow in memory, because the stride is 0 or negative, these are all `depth`
// rows.
int64_t rest_terms(const Matrix& b, const Tiling& t, int64_t depth) {
  const int64_t beyond = t.vectors * t.k.lanes - t.n;
  if (beyond == 0) return 0;
  return b.row_stride > 0 ? std::min(depth, ceil_div(beyond, b.row_stride)) : depth;
}

// Computes the product in blocks of columns. The values of B of a block stay in L1 while all rows use them.
void multiply_few_terms(const Product& g) {
  constexpr int64_t kColumns = 1024;
  const GemmKernels& k = kernels<GemmKernels>();
  const int64_t blocks = ceil_div(g.columns(), kColumns);
  for (int64_t i = 0; i < blocks; ++i) {
    const Range c = split(g.columns(), blocks, i);
    const int64_t j = c.begin, columns = c.end - c.begin;
    GemmTile t{};
    t.a = g.a.data, t.a_row_stride = g.a.row_stride, t.a_column_stride = g.a.column_stride;
    t.b = g.b.data + j, t.b_row_stride = g.b.row_stride;
    t.c = g.c + j, t.c_row_stride = g.c_row_stride;
    t.out = g.out + j, t.out_row_stride = g.out_row_stride;
    t.columns = static_cast<int>(columns);
    t.alpha = g.alpha, t.beta = g.beta;
    k.few_terms[g.depth() - 1](t, g.rows());
    activate(g, t.out, g.rows(), columns);
  }
}

}  // namespace

bool worth_packing_b(const Matrix& b, int64_t row_tiles) {
  // The minimum numbers of values of B and of tiles of rows. A copy of a smaller B, or for fewer tiles, gains
  // nothing (section 7 of docs/gemm.md).
  constexpr int64_t kLeast = 128 * 1024 / 4, kUses = 24;
  constexpr int64_t kLeastAliased = 32 * 1024 / 4, kUsesAliased = 2, kUsesAliasedL2 = 3;
  if (b.column_stride != 1) return true;
  const int64_t values = b.rows * b.columns;
  // From a large L2, reading an aliased B again is faster than a copy: 16 x 1024 x 256 reaches 207 GFLOP/s on
  // an Intel Xeon with AVX-512, and 114 with packing.
  if (!is_aliased(b.row_stride) || (has_large_l2() && values <= floats_in_place()))
    return values >= kLeast && row_tiles >= kUses;
  return values >= kLeastAliased && row_tiles >= (has_large_l2() ? kUsesAliasedL2 : kUsesAliased);
}

void multiply_by_tiles(const Product& g) {
  if (g.depth() > 0 && g.depth() <= kMaxFewTerms && g.b.column_stride == 1) return multiply_few_terms(g);
  const GemmKernels& k = kernels<GemmKernels>();
  const Tiling tiling(k, g.rows(), g.columns());
  const int64_t steps = std::max<int64_t>(1, ceil_div(g.depth(), longest_step(k))),
                longest = ceil_div(g.depth(), steps);
  const bool pack_a = worth_packing_a(g.a, longest, tiling), pack_b = worth_packing_b(g.b, tiling.row_tiles);
  // A block is so narrow that it has at most about this number of values of B, because each tile of rows
  // reads all of them. It consists of whole tiles.
  const int64_t most_columns = (pack_b ? kPackedFloats : floats_in_place()) / std::max<int64_t>(longest, 1);
  const int64_t blocks = std::min(tiling.column_tiles, ceil_div(g.columns(), most_columns));

  ScratchFrame frame;
  float* const a_panel = pack_a ? frame.allocate<float>(k.rows[0] * longest + k.lanes) : nullptr;
  const int64_t block_columns = (ceil_div(tiling.vectors, blocks) + kMaxGemmVectors) * k.lanes;
  float* const b_panels =
      pack_b ? frame.allocate<float>(block_columns * longest +
                                     ceil_div(tiling.column_tiles, blocks) * kCacheLineFloats)
             : nullptr;
  const int64_t rest = pack_b ? 0 : rest_terms(g.b, tiling, longest);
  float* const b_rest = rest > 0 ? frame.allocate<float>(rest * kMaxGemmVectors * k.lanes) : nullptr;
  for (int64_t s = 0; s < steps; ++s) {
    const Range d = split(g.depth(), steps, s);
    GemmTile tile{};
    tile.depth = d.end - d.begin;
    tile.rest_terms = std::min(rest, tile.depth);
    tile.alpha = g.alpha;
    tile.beta = s == 0 ? g.beta : 1;
    tile.c = s == 0 ? g.c : g.out;
    tile.c_row_stride = s == 0 ? g.c_row_stride : g.out_row_stride;
    tile.out = g.out;
    tile.out_row_stride = g.out_row_stride;
    for (int64_t i = 0; i < blocks; ++i)
      Block{tiling,
            columns_of(g.a, d),
            rows_of(g.b, d),
            tile,
            split(tiling.column_tiles, blocks, i),
            a_panel,
            b_panels,
            b_rest,
            s + 1 == steps ? &g : nullptr}
          .multiply();
  }
}

}  // namespace byhand::cpu
