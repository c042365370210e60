// The direct algorithm of grad weight: each weight is a dot product of dy and of what its tap sees of x, over
// images and output positions.
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
// No operand is empty. One thread runs a method; several may run at the same time.
class WeightDots {
 public:
  WeightDots(const Conv2dShape& s, ScratchFrame& frame);

  // Weights come in units, some outputs and some channels of a group, which share no weight.
  int64_t units() const { return s_.groups * blocks_ * row_tiles_; }
  // Adds the sums of these images to the weights of these units. The order of a sum depends on the images
  // alone.
  void add(Range images, Range units, const float* dy, const float* x, float* dw) const;

 private:
  struct Band;
  void prefetch(const Band& band, const float* dy, Range rows) const;
  void add_tiles(const Band& band, int64_t block, Range row_tiles, const float* x, float* dw) const;

  const Conv2dShape& s_;
  int64_t images_, band_;  // at a time: so many images, in so many rows of outputs
  TapAxis rows_, columns_;
  Staging whole_;
  bool stages_;
  Staging staging_;  // of a band, or of the source as it lies
  int64_t block_channels_, blocks_;
  int64_t row_tiles_;
  int64_t* offset_;  // of a block's channels and taps
  // Vectors of outputs of a band, whole ones and the cut ones at the ends of rows.
  ConvPosition *whole_positions_, *cut_positions_;
};

}  // namespace byhand::cpu
