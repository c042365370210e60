// The contract of the kernels of direct convolution with vectors along rows of outputs that compute the
// output or the gradient with respect to the input. Both are correlations (cpu/conv2d/direct/correlate.h), so
// "output" and "input" stand for dx and dy in the second case.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The largest numbers of rows and positions of a register tile, for all instruction sets. A tile has rows x
// positions accumulators. Each row of the tile is an output channel. Each position is a vector of
// neighbouring outputs in one row of an image. Tiles with few rows leave registers for more positions.
inline constexpr int kConvRows = 6, kMaxConvPositions = 8;

// y[v][r * y_stride + lane] = start + sum over p of w[r * w_stride + p] * x[v][offset[p] + lane] for each
// position v, row r and lane. `start` is bias[r], or the previous value of y if `bias` is null. The kernel
// reads x in all lanes, but reads and writes y only in the first count[v] lanes.
struct ConvTile {
  int64_t depth;  // the number of pairs p of an input channel (of one block) and a tap
  const float* w;
  int64_t w_stride;
  const int64_t* offset;
  const float* x[kMaxConvPositions];
  float* y[kMaxConvPositions];
  int count[kMaxConvPositions];  // the number of lanes to store, for each position
  int64_t y_stride;
  const float* bias;
};
using ConvTileKernel = void (*)(const ConvTile&);

struct ConvTileKernels {
  int lanes;
  int positions[kConvRows];                           // [r - 1]: the largest number in a tile with r rows
  ConvTileKernel tile[kConvRows][kMaxConvPositions];  // [rows - 1][positions - 1]
};

struct CorrelateKernels {
  ConvTileKernels tiles;
  // Tiles with wider vectors, for images whose rows of outputs are long enough to fill their lanes.
  // Identical to `tiles` if the instruction set has no wider vectors.
  ConvTileKernels wide;
  // to[i * to_stride + j] = from[i * from_stride + j] for i < rows and j < columns.
  void (*copy_rows)(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                    int64_t to_stride);
  // to[i] = from[i * stride] for i in [0, count).
  void (*copy_strided)(const float* from, int64_t stride, int64_t count, float* to);
};

}  // namespace byhand::cpu
