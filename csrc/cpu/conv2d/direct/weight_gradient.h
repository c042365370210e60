// The direct algorithm for the weight gradient. The gradient of each weight is a dot product over images and
// output positions: of dy and of the values of x that the weight is multiplied by.
#pragma once

#include "core/scratch.h"
#include "core/shapes.h"
#include "cpu/conv2d/direct/staging.h"
#include "cpu/kernels/conv2d_weight_gradient.h"
#include "cpu/runtime/blocking.h"

namespace byhand::cpu {

// dw[o, c, ty, tx] += sum over n, oy, ox of dy[n, o, oy, ox] * x[n, c of the group of o, in_y, in_x]
// where  in_y = oy * stride.h + ty * dilation.h - padding.top,
//        in_x = ox * stride.w + tx * dilation.w - padding.left.
// dy and dw are not empty. `add` runs on the calling thread, and several threads may call it at the same
// time.
class WeightDots {
 public:
  WeightDots(const Conv2dShape& s, ScratchFrame& frame);

  // The number of units that the weights are cut into. A unit holds the weights between one tile of output
  // channels and one block of input channels of a group.
  int64_t units() const { return s_.groups * blocks_ * row_tiles_; }
  // Adds the sums over these images to the weights of these units. The order of the additions depends only on
  // the images.
  void add(Range images, Range units, const float* dy, const float* x, float* dw) const;

 private:
  struct Band;
  void prefetch(const Band& band, const float* dy, Range rows) const;
  void add_tiles(const Band& band, int64_t block, Range row_tiles, const float* x, float* dw) const;

  const Conv2dShape& s_;
  const ConvDotKernels& kernels_;
  int64_t images_, band_;  // the number of images, and of output rows, per band
  TapAxis rows_, columns_;
  Staging staging_;                    // copies the inputs of a band
  bool stages_;                        // if false, the kernels read x itself
  int64_t channel_size_, row_stride_;  // of a staged band, or of x if nothing is staged
  int64_t block_channels_, blocks_;    // channels per block, and blocks per group
  int64_t row_tiles_;                  // tiles of output channels per group
  int64_t* offset_;                    // where the kernels find each channel and tap of a block
  // The vectors of outputs of a band. The vectors of whole_positions_ fill all lanes. Each row whose length
  // is no multiple of the number of lanes ends with a vector of cut_positions_.
  ConvPosition *whole_positions_, *cut_positions_;
};

}  // namespace byhand::cpu
