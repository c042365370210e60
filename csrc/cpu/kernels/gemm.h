// The contract of the matrix product's kernels: register tiles, dot products and packing.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

inline constexpr int kMaxGemmRows = 14, kMaxGemmVectors = 8;  // the largest tiles of any instruction set
inline constexpr int kMaxGemmDotColumns = 8;

// How much of a tile's last vector of columns exists: all of it, a part, or at most half. CPUs with 256-bit
// units compute half a 512-bit vector in half of the time.
enum GemmEdge { kWholeEdge, kCutEdge, kHalfEdge, kGemmEdges };

// out[i, j] = alpha * sum_p A[i, p] * B[p, j] + beta * C[i, j] over one register tile. Columns of B, C and
// out are adjacent in memory.
struct GemmTile {
  int64_t depth;  // the number of p
  const float* a;
  int64_t a_row_stride, a_column_stride;
  const float* b;
  int64_t b_row_stride;
  int64_t b_ahead;       // each row of B is prefetched this number of values ahead of where it is read
  const float* c;        // not read if beta == 0; may be out
  int64_t c_row_stride;  // 0: one row for all rows of out, which is a bias
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
  int64_t b_row_stride;  // of B': a row is a column of out
  const float* c;
  int64_t c_row_stride;
  float* out;
  int64_t out_row_stride;
  float alpha, beta;
};
using GemmDotKernel = void (*)(const GemmDot&);

struct GemmKernels {
  int lanes;
  int rows;                   // of the highest tile
  int vectors[kMaxGemmRows];  // the width in vectors of the widest tile with r rows, at [r - 1]
  GemmTileKernel tile[kMaxGemmRows][kMaxGemmVectors][kGemmEdges];  // [rows - 1][vectors - 1][edge]
  int dot_rows;                                                    // of the highest dot
  int dot_columns[kMaxGemmRows];                        // of the widest dot with r rows, at [r - 1]
  GemmDotKernel dot[kMaxGemmRows][kMaxGemmDotColumns];  // [rows - 1][columns - 1]
  // Copy `count` rows of a matrix, `depth` values each, into the columns of panels of `width`: the value at
  // row i, column p goes to to[i / width * (width * depth) + p * width + i % width]. For pack_rows the values
  // of a row are adjacent in memory, for pack_columns those of a column. If there is more than one panel,
  // `width` must be a whole number of vectors. A panel narrower than a vector spoils up to lanes - 1 values
  // behind it, and the last panel's columns beyond `count` are undefined.
  void (*pack_rows)(const float* from, int64_t stride, int64_t count, int64_t depth, float* to,
                    int64_t width);
  void (*pack_columns)(const float* from, int64_t stride, int64_t count, int64_t depth, float* to,
                       int64_t width);
};

}  // namespace byhand::cpu
