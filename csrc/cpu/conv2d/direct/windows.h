// The windows of a band of outputs, with offsets for every channel, tap and output. They lie in a padded copy
// of the image, or in the image itself if no window reaches beyond its border. With a stride, the copy also
// holds the values between the windows, so it may be larger than an im2col matrix.
#pragma once

#include "core/scratch.h"
#include "core/shapes.h"
#include "cpu/conv2d/direct/staging.h"

namespace byhand::cpu {

class Windows {
 public:
  // `source` is the size of a plane of the image, and `out` that of a plane of outputs. A band has band_rows
  // rows of outputs. The tables lie in memory of `frame`.
  Windows(Pair source, Pair out, int64_t band_rows, const TapAxis& rows, const TapAxis& columns,
          ScratchFrame& frame);

  // Returns whether the windows lie in the image itself.
  bool in_place() const { return in_place_; }
  // Output (oy, ox) of the band reads channel c through tap (ty, tx) at
  // c * channel_size() + tap(ty, tx) + output(oy, ox), counted from what `begin` returns.
  int64_t channel_size() const { return in_place_ ? source_.h * source_.w : staging_.channel_size(); }
  int64_t tap(int64_t ty, int64_t tx) const {
    return in_place_ ? rows_.tap[ty] * source_.w + columns_.tap[tx] : staging_.tap_offset(ty, tx);
  }
  int64_t output(int64_t oy, int64_t ox) const {
    return oy * rows_.stride * row_stride() + ox * columns_.stride;
  }
  // Returns the beginning of the windows of the band that begins at row `first_row`. `source` has `channels`
  // planes. A copy of them is made in `copy`, which has room for channels * channel_size() values.
  const float* begin(const float* source, int64_t channels, int64_t first_row, float* copy) const;

 private:
  int64_t row_stride() const { return in_place_ ? source_.w : staging_.row_stride(); }

  Pair source_;
  TapAxis rows_, columns_;
  bool in_place_;
  Staging staging_;  // with stride 1: the copy has all values between the first and the last window
};

}  // namespace byhand::cpu
