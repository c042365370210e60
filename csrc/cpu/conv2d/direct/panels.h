// The panels of the method by channels. Each holds the output channels of a tile (conv2d_by_channels.h) side
// by side.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/kernels/conv2d_by_channels.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {

// Panel i holds the output channels of a group from begin(i) on. The last panel may be one vector wide.
struct Panels {
  explicit Panels(int64_t outputs)
      : lanes(kernels<ChannelKernels>().channel_lanes),
        padded(ceil_div(outputs, lanes) * lanes),
        width(std::clamp(padded, lanes, lanes * kMaxChannelVectors)),
        count(ceil_div(padded, width)),
        stored(count * width) {}
  int64_t begin(int64_t i) const { return i * width; }
  int64_t width_of(int64_t i) const { return std::min(width, padded - begin(i)); }
  // Returns whether the last panel is one vector wide.
  bool has_narrow() const { return padded % (kMaxChannelVectors * lanes) != 0; }

  int64_t lanes;
  int64_t padded;  // the number of output channels, rounded up to whole vectors
  int64_t width;   // of each panel but the last one, and the distance of two rows in all panels
  int64_t count;
  int64_t stored;  // the number of values of a row in all panels
};

// Computes `count` rows, from t.row on, in tiles of at most `most_rows` rows. kernel[rows - 1] is the kernel
// of a tile with this number of rows.
inline void compute_tiles(ChannelTile t, int64_t count, int64_t most_rows, const ChannelTileKernel* kernel) {
  const ChannelRow* const rows = t.row;
  const int64_t tiles = ceil_div(count, most_rows);
  const Split ranges(count, tiles);
  for (int64_t i = 0; i < tiles; ++i) {
    const Range r = ranges[i];
    t.row = rows + r.begin;
    kernel[r.end - r.begin - 1](t);
  }
}

}  // namespace byhand::cpu
