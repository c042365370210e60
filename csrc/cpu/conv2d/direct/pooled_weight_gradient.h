// The weight gradient of a pooled convolution. Each pooling window passes its gradient to one output, so most
// of the gradients of the convolution are zero. This reads only the others. It is used if nobody wants the
// input gradient, for which the direct algorithm needs whole planes of gradients.
#pragma once

#include "core/shapes.h"

namespace byhand::cpu {

class PooledDots {
 public:
  explicit PooledDots(const Conv2dShape& s) : s_(s) {}

  static bool takes(const Conv2dShape& s);

  // Adds the sums over one image x to dw. Each output channel has `count` gradients: dz, at the positions
  // `index` of its plane.
  void add(const float* dz, const int32_t* index, int64_t count, const float* x, float* dw) const;

 private:
  void fill_slots(const float* x, float* slots) const;

  const Conv2dShape& s_;
};

}  // namespace byhand::cpu
