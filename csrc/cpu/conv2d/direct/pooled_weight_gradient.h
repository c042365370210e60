// Grad weight of a pooled convolution from the windows' maxima alone: no plane of gradients, most of which
// would be zeros. For where nobody wants grad input, for which the direct algorithm needs that plane.
#pragma once

#include "core/shapes.h"

namespace byhand::cpu {

class PooledDots {
 public:
  explicit PooledDots(const Conv2dShape& s) : s_(s) {}

  static bool takes(const Conv2dShape& s);

  // dw += the sums over one image x. Of each output channel `count` values of dy are not zero: dz at the
  // places `index` of its plane.
  void add(const float* dz, const int32_t* index, int64_t count, const float* x, float* dw) const;

 private:
  void fill_slots(const float* x, float* slots) const;

  const Conv2dShape& s_;
};

}  // namespace byhand::cpu
