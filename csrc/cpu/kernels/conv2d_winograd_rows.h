// The contract of Winograd's convolution along rows: a tile is 8 neighbouring inputs of one row and gives
// m = 9 - r outputs. Every lane works on rows of its own, of the same or of different images, so transformed
// values are laid out (..., lanes).
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// Two neighbouring rows of outputs of one channel, (2, columns).
struct WinogradRowPair {
  // Transformed rows of inputs, (channels, tiles, 8, lanes) each. The taps of the first output row are v[0]
  // to v[r - 1], those of the second v[1] to v[r].
  const float* v[6];
  int64_t v_channel, channels;
  const float* u;  // transformed weights of this output channel, (channels, r, 8)
  float bias;
  int64_t columns;
  int rows;  // wanted: 1 or 2
};

inline constexpr int kMaxRowLanes = 16;

struct WinogradRowKernels {
  int lanes;  // at most kMaxRowLanes
  // to[i * lanes + n] = x[n][i] for i < count, or 0 if x[n] is null.
  void (*to_lanes)(const float* const* x, int64_t count, float* to);
  // x[n][i] = from[i * lanes + n] for i < count, unless x[n] is null.
  void (*from_lanes)(const float* from, int64_t count, float* const* x);
  struct Size {
    // u (rows, 8) from w (rows, r).
    void (*weights)(const float* w, int64_t rows, float* u);
    // v (tiles, 8, lanes) from x (m * tiles + r - 1, lanes).
    void (*inputs)(const float* x, int64_t tiles, float* v);
    // `to` (rows, columns, lanes).
    void (*rows)(const WinogradRowPair&, float* to);
    // The maxima of 2 x 2 windows and their positions: `to` and `index` (columns / 2, lanes). The first
    // output of lane n is at position place[n] + offset of its plane.
    void (*maxima)(const WinogradRowPair&, const int32_t* place, int32_t offset, float* to, int32_t* index);
  };
  Size size[2];  // [0] for kernels of 3 x 3, [1] for 5 x 5
};

}  // namespace byhand::cpu
