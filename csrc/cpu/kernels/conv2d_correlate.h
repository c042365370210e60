// The contract of the kernels of direct convolution that compute the output and the gradient with respect to
// the input.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The register tile has rows x positions accumulators. A row is an output channel; a position is one vector
// of neighbouring outputs in a row of the image. Tiles with few rows leave registers for more positions.
inline constexpr int kConvRows = 6, kMaxConvPositions = 8;

// y[v][r * y_stride + lane] = start + sum over p of w[r * w_stride + p] * x[v][offset[p] + lane] for each
// position v, row r and lane. `start` is bias[r], or the previous value of y if `bias` is null.
struct ConvTile {
  int64_t depth;  // p < depth runs over input channels and taps
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
  int positions[kConvRows];                           // [r - 1]: the number in the widest tile of r rows
  ConvTileKernel tile[kConvRows][kMaxConvPositions];  // [rows - 1][positions - 1]
};

struct CorrelateKernels {
  ConvTileKernels tiles;
  // Tiles with wider vectors, for rows of outputs that fill their lanes. Identical to `tiles` if this CPU has
  // no wider vectors.
  ConvTileKernels wide;
  // to[i] = from[i * stride] for i in [0, count).
  void (*copy_strided)(const float* from, int64_t stride, int64_t count, float* to);
};

}  // namespace byhand::cpu
