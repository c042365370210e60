// The contract of the matrix product's kernels: register tiles, dot products and packing.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

inline constexpr int kMaxGemmRows = 14, kMaxGemmVectors = 8;  // the largest tiles of any instruction set
inline constexpr int kMaxGemmDotColumns = 8;

// The number of columns in the last vector of a row of a tile: all of its lanes, fewer, or at most half of
// them. CPUs with 256-bit units compute half of a 512-bit vector in half of the time.
enum GemmEdge { kWholeEdge, kCutEdge, kHalfEdge, kGemmEdges };

// out[i, j] = alpha * sum_p A[i, p] * B[p, j] + beta * C[i, j] over one register tile. Columns of B, C and
// out are adjacent in memory.
struct GemmTile {
  int64_t depth;  // the number of p, the length of a row of A
  const float* a;
  int64_t a_row_stride, a_column_stride;
  const float* b;
  int64_t b_row_stride;
  int64_t b_ahead;       // the kernel prefetches B this number of values ahead of the row that it reads
  const float* c;        // not read if beta == 0; may be out
  int64_t c_row_stride;  // 0 if C is one row that is added to all rows of out, a bias
  float* out;
  int64_t out_row_stride;
  int columns;  // at most vectors * lanes; fewer if the edge is cut
  float alpha, beta;
};
using GemmTileKernel = void (*)(const GemmTile&);

// out[i, j] = alpha * sum_p A[i, p] * B'[j, p] + beta * C[i, j], with vectors along p. Values along p are
// adjacent in memory in A and in B', the transpose of B.
struct GemmDot {
  int64_t depth;
  const float* a;
  int64_t a_row_stride;
  const float* b;
  int64_t b_row_stride;  // of B', whose row j belongs to column j of out
  const float* c;
  int64_t c_row_stride;
  float* out;
  int64_t out_row_stride;
  float alpha, beta;
};
using GemmDotKernel = void (*)(const GemmDot&);

struct GemmKernels {
  int lanes;
  int rows;                   // the number in the highest tile
  int vectors[kMaxGemmRows];  // [r - 1]: the width in vectors of the widest tile with r rows
  GemmTileKernel tile[kMaxGemmRows][kMaxGemmVectors][kGemmEdges];  // [rows - 1][vectors - 1][edge]
  int dot_rows;                                                    // the number in the highest dot
  int dot_columns[kMaxGemmRows];                        // [r - 1]: the number in the widest dot with r rows
  GemmDotKernel dot[kMaxGemmRows][kMaxGemmDotColumns];  // [rows - 1][columns - 1]
  // Copy `count` rows of a matrix, `depth` values each, into the columns of panels of `width`: the value at
  // row i, column p goes to to[i / width * (width * depth) + p * width + i % width]. For pack_rows the values
  // of a row are adjacent in memory, for pack_columns those of a column. If there is more than one panel,
  // `width` must be a multiple of `lanes`. If a panel is narrower than a vector, up to lanes - 1 values
  // behind it are overwritten. The columns of the last panel beyond `count` are undefined.
  void (*pack_rows)(const float* from, int64_t stride, int64_t count, int64_t depth, float* to,
                    int64_t width);
  void (*pack_columns)(const float* from, int64_t stride, int64_t count, int64_t depth, float* to,
                       int64_t width);
};

}  // namespace byhand::cpu
