// The contract of the kernels of direct convolution whose vectors run along the output channels.
//
// The output, the input gradient and the weight gradient are each a matrix product, out = A B. A is the
// im2col matrix of the image or its transpose. It is never made: two tables of offsets say where its values
// lie in the image. Libraries call this method an implicit matrix product (implicit GEMM).
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The size of the largest tile for all instruction sets. Tiles of one vector may have up to kMaxEvenRows rows
// if the values of their rows lie at equal distances.
inline constexpr int kMaxChannelRows = 8, kMaxEvenRows = 16, kMaxChannelVectors = 2;

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
// loaded and stored. Tiles of more than kMaxChannelRows rows read row[0].x only. For them, row[i].x is
// row[0].x + i * row_step.
struct ChannelTile {
  int64_t depth;
  const float* x;
  const ChannelRow* row;
  int64_t row_step;
  const ChannelTerm* term;
  const float* b;
  const float* bias;
  float* out;
};
using ChannelTileKernel = void (*)(const ChannelTile&);

struct ChannelKernels {
  int channel_lanes;
  // [vectors - 1]: the number of rows of the highest tile, for any rows and for rows at equal distances.
  int channel_rows[kMaxChannelVectors], even_rows[kMaxChannelVectors];
  ChannelTileKernel channel_tile[kMaxChannelVectors][kMaxEvenRows];  // [vectors - 1][rows - 1]
  // to[j * to_stride + i] = from[i * from_stride + j] for i < rows and j < columns. Reads whole vectors of
  // each row of `from`.
  void (*transpose)(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                    int64_t to_stride);
};

}  // namespace byhand::cpu
