// Staging: a copy of an image in which neighbouring outputs read neighbouring values, for every tap of a
// convolution. So a vector of outputs needs one plain load per tap. Padding becomes stored zeros. A stride s
// splits the image into s x s phases, each a plane of every s-th row and column. For stride 1 the copy has
// about one value per pixel, and never more than one per pair (tap, output), the size of an im2col matrix.
#pragma once

#include <cstdint>

#include "core/scratch.h"
#include "core/shapes.h"

namespace byhand::cpu {

// Taps along one axis. Output i reads source[i * stride + tap[t]], which is zero if it lies outside.
struct TapAxis {
  int64_t count;
  const int64_t* tap;
  int64_t stride;
};

// The taps with which forward and the weight gradient read the input, in memory of `frame`.
TapAxis forward_rows(const Conv2dShape& s, ScratchFrame& frame);
TapAxis forward_columns(const Conv2dShape& s, ScratchFrame& frame);

// The staging of one axis: planes of `extent` values. Output i finds tap t at index shift[t] + i of plane[t].
struct StagedAxis {
  int64_t planes, extent;
  int64_t* origin;  // source index of each plane's first value
  int64_t* plane;
  int64_t* shift;
};

class Staging {
 public:
  // Stages the input of `out` outputs. The tables are in memory of `frame`.
  Staging(Pair source, Pair out, const TapAxis& rows, const TapAxis& columns, ScratchFrame& frame);

  // Output (oy, ox) finds tap (ty, tx) of a channel at
  // channel * channel_size() + tap_offset(ty, tx) + oy * row_stride() + ox.
  int64_t channel_size() const { return rows_.planes * columns_.planes * rows_.extent * columns_.extent; }
  int64_t row_stride() const { return columns_.extent; }
  int64_t tap_offset(int64_t ty, int64_t tx) const {
    const int64_t plane = rows_.plane[ty] * columns_.planes + columns_.plane[tx];
    return (plane * rows_.extent + rows_.shift[ty]) * columns_.extent + columns_.shift[tx];
  }
  // Returns true if the staged image equals the source, so that no copy is needed.
  bool is_source() const;

  // Stages `channels` planes of the source for outputs from row `first_row` on. `to` holds
  // channels * channel_size() values.
  void stage(const float* source, int64_t channels, int64_t first_row, float* to) const;

 private:
  void stage_plane(const float* source, int64_t y, int64_t x, float* to) const;

  Pair source_, stride_;
  StagedAxis rows_, columns_;
};

}  // namespace byhand::cpu
