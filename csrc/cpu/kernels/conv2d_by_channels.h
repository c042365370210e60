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

// For each row i and each column j of a tile,
//     out[i * out_stride + j] = start[i * start_stride + j] +
//         sum over s and t of x[row[i] + s * x_step + term[t]] * b[s * b_step + t * b_stride + j]
// All lanes of all vectors are computed, loaded and stored. `start` may be `out`. Tiles of more than
// kMaxChannelRows rows read row[0] only. For them, row[i] is row[0] + i * row_step.
struct ChannelTile {
  int64_t steps, depth;  // the numbers of indices s and t
  const float* x;
  const int64_t* row;
  int64_t row_step;
  const int64_t* term;
  int64_t x_step;
  const float* b;
  int64_t b_stride, b_step;
  const float* start;
  int64_t start_stride;  // 0 if all rows begin with the same values, a bias
  float* out;
  int64_t out_stride;
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
