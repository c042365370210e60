// The weight gradient of a convolution that is followed by max pooling. Each pooling window passes its
// gradient to one output of the convolution, so most of the gradients dy are zero. This algorithm reads only
// those that are not zero. It is used only if the caller does not want the input gradient, because the direct
// algorithm for the input gradient needs whole planes of dy in any case.
#pragma once

#include "core/shapes.h"

namespace byhand::cpu {

class PooledDots {
 public:
  explicit PooledDots(const Conv2dShape& s) : s_(s) {}

  // Returns whether this class can take the shape: stride 1, dilation 1, one group, filters of at most
  // kMaxPooledTapRows x kPooledSlot taps, and planes so small that the slots of one input channel fit into
  // half of L2. A slot is a copy of kPooledSlot neighbouring inputs of a row: see fill_slots.
  static bool takes(const Conv2dShape& s);

  // Adds the weight gradient of one image x to dw. Each output channel has `count` gradients dz, which lie at
  // the positions `index` of its plane.
  void add(const float* dz, const int32_t* index, int64_t count, const float* x, float* dw) const;

 private:
  void fill_slots(const float* x, float* slots) const;

  const Conv2dShape& s_;
};

}  // namespace byhand::cpu
