// The contract of the kernels of Winograd's convolution along rows, for r x r weights.
// cpu/conv2d/winograd/rows.h has the formulas. A tile is 8 neighbouring inputs of one row. Together with a
// row of r weights, it gives m = 9 - r outputs. Each lane of a vector works on rows of its own. The rows of
// two lanes may belong to the same image or to different images. The last axis of most arrays runs over the
// lanes.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The operands for two neighbouring rows of outputs of one output channel, in each lane.
struct WinogradRowPair {
  // Transformed rows of inputs. Each has the shape (channels, tiles, 8, lanes). The first row of outputs
  // needs the rows v[0] to v[r - 1], the second row of outputs v[1] to v[r].
  const float* v[6];
  int64_t v_channel, channels;  // the stride and the number of input channels
  const float* u;               // transformed weights of this output channel, (channels, r, 8)
  float bias;
  int64_t columns;  // the number of outputs per row
  int rows;         // the number of rows of outputs to write, 1 or 2; not read by `maxima`, which needs both
};

inline constexpr int kMaxRowLanes = 16;  // the largest number of lanes, for all instruction sets

struct WinogradRowKernels {
  int lanes;  // at most kMaxRowLanes
  // to[i * lanes + n] = x[n][i] for i < count, or 0 if x[n] is null.
  void (*to_lanes)(const float* const* x, int64_t count, float* to);
  // x[n][i] = from[i * lanes + n] for i < count, unless x[n] is null.
  void (*from_lanes)(const float* from, int64_t count, float* const* x);
  // The kernels for one size of the weights.
  struct Size {
    // Transforms each row of w (rows, r) to a row of u (rows, 8).
    void (*weights)(const float* w, int64_t rows, float* u);
    // Transforms the tiles of one row of inputs, x (m * tiles + r - 1, lanes), to v (tiles, 8, lanes).
    void (*inputs)(const float* x, int64_t tiles, float* v);
    // Writes the outputs to `to` (rows, columns, lanes).
    void (*rows)(const WinogradRowPair&, float* to);
    // Writes the maxima of the 2 x 2 windows of the two rows of outputs to `to`, and their positions in the
    // plane of outputs to `index`. Both arrays have the shape (columns / 2, lanes). In lane n, the first
    // output of the pair of rows is at position place[n] + offset.
    void (*maxima)(const WinogradRowPair&, const int32_t* place, int32_t offset, float* to, int32_t* index);
  };
  Size size[2];  // [0] for 3 x 3 weights, [1] for 5 x 5
};

}  // namespace byhand::cpu
