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
  bool has_narrow() const { return padded % (2 * lanes) != 0; }

  int64_t lanes;
  int64_t padded;  // the number of output channels, rounded up to whole vectors
  int64_t width;   // of each panel but the last one, and the distance of two rows in all panels
  int64_t count;
  int64_t stored;  // the number of values of a row in all panels
};

}  // namespace byhand::cpu
