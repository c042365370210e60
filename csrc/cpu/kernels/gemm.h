// The contract of the matrix product's kernels: register tiles, dot products and packing.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// A tile is the block of `out` that one call of a kernel computes. A GemmTile has rows x vectors
// accumulators, a GemmDot (a dot tile) has rows x columns. These constants are upper bounds for all
// instruction sets.
inline constexpr int kMaxGemmRows = 14, kMaxGemmVectors = 8;
inline constexpr int kMaxGemmDotColumns = 8;
// The largest depth of a product that `few_terms` computes.
inline constexpr int kMaxFewTerms = 4;

// The last vector in each row of a tile may have fewer columns than lanes, if the matrix ends there.
// kWholeEdge: it has as many columns as lanes. kCutEdge: it has fewer. kHalfEdge: it has at most half as
// many, and the kernel uses a HalfVec for it. CPUs with 256-bit units compute half of a 512-bit vector in
// half of the time.
enum GemmEdge { kWholeEdge, kCutEdge, kHalfEdge, kGemmEdges };

// out[i, j] = alpha * sum_p A[i, p] * B[p, j] + beta * C[i, j] for one register tile. Values that are
// neighbours in a row of B, C or out are adjacent in memory.
struct GemmTile {
  int64_t depth;  // the number of terms p, which is the length of a row of A
  const float* a;
  int64_t a_row_stride, a_column_stride;
  const float* b;
  int64_t b_row_stride;
  int64_t b_ahead;  // prefetches of B run this number of values ahead of the loads
  // Tiles with a cut edge read whole vectors of B, so values behind the columns, too. Behind the columns of
  // the last `rest_terms` rows, there may be no memory. These rows are read from b_rest, a panel with whole
  // vectors.
  int64_t rest_terms;
  const float* b_rest;
  const float* c;        // not read if beta == 0; may be out
  int64_t c_row_stride;  // 0 if C is a bias: one row, which is added to all rows of out
  float* out;
  int64_t out_row_stride;
  int columns;  // the number of columns of the tile: vectors * lanes, or fewer as GemmEdge says
  float alpha, beta;
};
using GemmTileKernel = void (*)(const GemmTile&);

// out[i, j] = alpha * sum_p A[i, p] * B'[j, p] + beta * C[i, j], where B' is the transpose of B. A vector
// holds values with consecutive p. These values are adjacent in memory in a row of A and in a row of B'.
struct GemmDot {
  int64_t depth;
  const float* a;
  int64_t a_row_stride;
  const float* b;
  int64_t b_row_stride;  // the stride of the rows of B'; row j of B' belongs to column j of out
  const float* c;
  int64_t c_row_stride;
  float* out;
  int64_t out_row_stride;
  float alpha, beta;
};
using GemmDotKernel = void (*)(const GemmDot&);

struct GemmKernels {
  int lanes;
  int rows[kMaxGemmVectors];  // [v - 1]: the number of rows of the highest tile that is v vectors wide
  int rows_of_two_vectors() const { return rows[1]; }  // most products have tiles of two vectors
  int vectors[kMaxGemmRows];  // [r - 1]: the number of vectors of the widest tile with r rows
  GemmTileKernel tile[kMaxGemmRows][kMaxGemmVectors][kGemmEdges];  // [rows - 1][vectors - 1][edge]
  int dot_rows;                   // the number of rows of the highest dot tile
  int dot_columns[kMaxGemmRows];  // [r - 1]: the number of columns of the widest dot tile with r rows
  GemmDotKernel dot[kMaxGemmRows][kMaxGemmDotColumns];  // [rows - 1][columns - 1]
  // [depth - 1]: computes `rows` rows with any number of columns, a few rows at a time. Of GemmTile, it does
  // not use `depth`, `b_ahead`, `rest_terms` and `b_rest`. The bits are those of the tiles.
  void (*few_terms[kMaxFewTerms])(const GemmTile&, int64_t rows);
  // Pack a matrix of `count` rows and `depth` columns into panels, in the order in which tiles read them. A
  // panel takes `width` rows of the matrix and stores them transposed: the value in row i and column p of the
  // matrix goes to to[i / width * panel + p * width + i % width]. `panel` is at least width * depth. For
  // example, with width = 2 and depth = 3, the rows a b c and d e f become the panel a d b e c f.
  //
  // pack_rows reads a matrix in which the values of a row are adjacent in memory and rows are `stride` apart.
  // pack_columns reads one in which the values of a column are adjacent and columns are `stride` apart. If
  // there is more than one panel, `width` must be a multiple of `lanes`. If `width` is not a multiple of
  // `lanes`, up to lanes - 1 values behind the panel may be overwritten. If `count` is not a multiple of
  // `width`, the last panel holds undefined values in the places of the missing rows.
  void (*pack_rows)(const float* from, int64_t stride, int64_t count, int64_t depth, float* to, int64_t width,
                    int64_t panel);
  void (*pack_columns)(const float* from, int64_t stride, int64_t count, int64_t depth, float* to,
                       int64_t width, int64_t panel);
};

}  // namespace byhand::cpu
