// The contract of the kernels of direct convolution whose vectors run along the output channels.
//
// The output, the input gradient and the weight gradient are each a matrix product, out = A B. A is the
// im2col matrix of the image or its transpose. It is never made: two tables of offsets say where its values
// lie in the image. Libraries call this method an implicit matrix product (implicit GEMM).
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The sizes of the largest tiles for all instruction sets: rows and vectors of a tile, rows of an even tile,
// and taps of a window.
inline constexpr int kMaxChannelRows = 8, kMaxChannelVectors = 2, kMaxEvenRows = 16, kMaxWindow = 3;

// A row of a tile: the offset of its values of A from `x`, and the offset of its results from `out`.
struct ChannelRow {
  int64_t x, out;
};
// A term of the sums: the offset of its value of A, added to that of the row, and the offset of its row of B.
struct ChannelTerm {
  int64_t x, b;
};

// For each row i and each column j of a tile,
//     out[row[i].out + j] = start + sum over t < depth of x[row[i].x + term[t].x] * b[term[t].b + j]
// where start is bias[j], or out[row[i].out + j] if `bias` is null. All lanes of all vectors are computed,
// loaded and stored. The table of terms has `period` entries. After each period, it begins again, and x and b
// move on: term[t] stands for term[t % period] + (t / period) * period_step.
//
// The rows of an even tile read values at equal distances: row[i].x is row[0].x + i * row_step. Its terms are
// windows of taps at the same distance:
//     out[row[i].out + j] = start + sum over t < depth and u < taps of
//         x[row[0].x + term[t].x + (i + u) * row_step] * b[term[t].b + u * tap_step + j]
struct ChannelTile {
  int64_t depth;
  const float* x;
  const ChannelRow* row;
  int64_t row_step, tap_step;  // of even tiles
  const ChannelTerm* term;
  int64_t period;
  ChannelTerm period_step;
  const float* b;
  const float* bias;
  float* out;
};
using ChannelTileKernel = void (*)(const ChannelTile&);

struct ChannelKernels {
  int channel_lanes;
  int channel_rows[kMaxChannelVectors];  // [vectors - 1]: the number of rows of the highest tile
  int even_rows[kMaxWindow];             // [taps - 1]: the same of even tiles, which have one vector
  ChannelTileKernel channel_tile[kMaxChannelVectors][kMaxChannelRows];  // [vectors - 1][rows - 1]
  ChannelTileKernel even_tile[kMaxWindow][kMaxEvenRows];                // [taps - 1][rows - 1]
  // to[j * to_stride + i] = from[i * from_stride + j] for i < rows and j < columns. Reads whole vectors of
  // each row of `from`.
  void (*transpose)(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                    int64_t to_stride);
};

}  // namespace byhand::cpu
