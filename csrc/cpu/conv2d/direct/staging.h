// Staging makes a copy of an image in which neighbouring outputs read neighbouring values, for every tap of a
// convolution. So a vector of outputs needs one plain load per tap. The copy holds zeros for the padding.
// With a stride of s, the copy consists of up to s x s planes. Each plane, called a phase, takes every s-th
// row and every s-th column of the image. With stride 1, the copy has about one value per pixel. It never has
// more values than an im2col matrix, which has one for each pair of a tap and an output.
#pragma once

#include <cstdint>

#include "core/scratch.h"
#include "core/shapes.h"
#include "cpu/runtime/blocking.h"

namespace byhand::cpu {

// Taps along one axis. Output i reads source[i * stride + tap[t]], which is zero if it lies outside.
struct TapAxis {
  int64_t count;
  const int64_t* tap;
  int64_t stride;
};

// Returns whether the taps slide: each output reads through a tap what its neighbour reads through the next
// one.
bool slides(const TapAxis& axis);

// Returns the range of i in [0, count) for which begin + i * stride lies in [0, size).
Range inside(int64_t begin, int64_t stride, int64_t size, int64_t count);

// Neighbouring outputs along an axis that read the same taps inside the image.
struct Run {
  Range outputs, taps;
};
// Returns the longest run that begins with output `first`. The axis has `outputs` outputs, and the image has
// `size` rows or columns. There are at most 2 * axis.count + 1 runs. The taps must rise or fall.
Run run_inside(const TapAxis& axis, int64_t first, int64_t outputs, int64_t size);

// Return the taps with which forward and the weight gradient read the input, along the rows or the columns.
// The table of the taps lies in memory of `frame`.
TapAxis forward_rows(const Conv2dShape& s, ScratchFrame& frame);
TapAxis forward_columns(const Conv2dShape& s, ScratchFrame& frame);

// The staging of one axis. The values are copied into `planes` planes of `extent` values each. For tap t,
// output i reads the value at index shift[t] + i of the plane with the number plane[t].
struct StagedAxis {
  StagedAxis(const TapAxis& taps, int64_t outputs, ScratchFrame& frame);
  void set_outputs(int64_t outputs);

  TapAxis taps;
  int64_t outputs;
  int64_t planes, extent;
  int64_t* origin;  // for each plane, the source index of its first value
  int64_t* plane;   // for each tap, the number of its plane
  int64_t* shift;   // for each tap, the index of the value that output 0 reads
};

class Staging {
 public:
  // Prepares the staging of images of the size `source` for bands of `band.h` rows of outputs, each of
  // `band.w` columns. The tables lie in memory of `frame`.
  Staging(Pair source, Pair band, const TapAxis& rows, const TapAxis& columns, ScratchFrame& frame);

  // Halves the number of rows per band until the staged values of `channels` channels fit into `floats`
  // values, or until a band has one row.
  void fit(int64_t channels, int64_t floats);
  int64_t band_rows() const { return rows_.outputs; }

  // For tap (ty, tx) of a channel, output (oy, ox) reads the staged value at
  // channel * channel_size() + tap_offset(ty, tx) + oy * row_stride() + ox.
  int64_t channel_size() const { return rows_.planes * columns_.planes * rows_.extent * columns_.extent; }
  int64_t row_stride() const { return columns_.extent; }
  int64_t tap_offset(int64_t ty, int64_t tx) const {
    const int64_t plane = rows_.plane[ty] * columns_.planes + columns_.plane[tx];
    return (plane * rows_.extent + rows_.shift[ty]) * columns_.extent + columns_.shift[tx];
  }

  // Stages `channels` planes of the source for the band of outputs that begins at `first_row`. `to` holds
  // channels * channel_size() values.
  void stage(const float* source, int64_t channels, int64_t first_row, float* to) const;

 private:
  void stage_plane(const float* source, int64_t y, int64_t x, float* to) const;

  Pair source_;
  StagedAxis rows_, columns_;
};

}  // namespace byhand::cpu
