// The contract of the kernels of Winograd's convolution along rows, for r x r weights. A tile is 8
// neighbouring inputs of one row. With r weights it gives m = 9 - r outputs. Every lane works on rows of its
// own, which belong to the same image or to different images, so the arrays of transformed values have the
// shape (..., lanes).
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// Two neighbouring rows of outputs of one channel, (2, columns).
struct WinogradRowPair {
  // Transformed rows of inputs, (channels, tiles, 8, lanes) each. The first row of outputs needs the rows
  // v[0] to v[r - 1], the second v[1] to v[r].
  const float* v[6];
  int64_t v_channel, channels;
  const float* u;  // transformed weights of this output channel, (channels, r, 8)
  float bias;
  int64_t columns;
  int rows;  // the number of rows to write, 1 or 2
};

inline constexpr int kMaxRowLanes = 16;

struct WinogradRowKernels {
  int lanes;  // at most kMaxRowLanes
  // to[i * lanes + n] = x[n][i] for i < count, or 0 if x[n] is null.
  void (*to_lanes)(const float* const* x, int64_t count, float* to);
  // x[n][i] = from[i * lanes + n] for i < count, unless x[n] is null.
  void (*from_lanes)(const float* from, int64_t count, float* const* x);
  struct Size {
    // Transforms the rows of w (rows, r) into those of u (rows, 8).
    void (*weights)(const float* w, int64_t rows, float* u);
    // Transforms the tiles of one row of inputs, x (m * tiles + r - 1, lanes), into v (tiles, 8, lanes).
    void (*inputs)(const float* x, int64_t tiles, float* v);
    // Computes the outputs, `to` (rows, columns, lanes).
    void (*rows)(const WinogradRowPair&, float* to);
    // Computes the maxima of 2 x 2 windows of the outputs and their positions, `to` and `index`
    // (columns / 2, lanes). The first output of lane n is at position place[n] + offset of its plane.
    void (*maxima)(const WinogradRowPair&, const int32_t* place, int32_t offset, float* to, int32_t* index);
  };
  Size size[2];  // [0] for 3 x 3 weights, [1] for 5 x 5
};

}  // namespace byhand::cpu
