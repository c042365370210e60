// The direct algorithm for the weight gradient. Each weight is a dot product over images and output
// positions: of dy and of the values of x that its tap reads.
#pragma once

#include "core/scratch.h"
#include "core/shapes.h"
#include "cpu/conv2d/direct/staging.h"
#include "cpu/kernels/conv2d_weight_gradient.h"
#include "cpu/runtime/blocking.h"

namespace byhand::cpu {

// dw[o, c, ty, tx] += sum over n, oy, ox of dy[n, o, oy, ox] *
//     x[n, group of o, c, oy stride.h + ty dilation.h - padding.top, ox stride.w + tx dilation.w -
//     padding.left]
// No operand is empty. A method runs on the calling thread, and several threads may call it at the same time.
class WeightDots {
 public:
  WeightDots(const Conv2dShape& s, ScratchFrame& frame);

  // The number of units that the weights are cut into: some outputs and some channels of a group each.
  int64_t units() const { return s_.groups * blocks_ * row_tiles_; }
  // Adds the sums over these images to the weights of these units. The order of a sum depends only on the
  // images.
  void add(Range images, Range units, const float* dy, const float* x, float* dw) const;

 private:
  struct Band;
  void prefetch(const Band& band, const float* dy, Range rows) const;
  void add_tiles(const Band& band, int64_t block, Range row_tiles, const float* x, float* dw) const;

  const Conv2dShape& s_;
  int64_t images_, band_;  // images, and rows of outputs, at a time
  TapAxis rows_, columns_;
  Staging whole_;
  bool stages_;
  Staging staging_;  // of a band, or of the source itself if nothing is staged
  int64_t block_channels_, blocks_;
  int64_t row_tiles_;
  int64_t* offset_;  // of a block's channels and taps
  // The vectors of outputs of a band: whole ones, and shorter ones at the ends of rows.
  ConvPosition *whole_positions_, *cut_positions_;
};

}  // namespace byhand::cpu
