// How the losses of a batch are combined.
#pragma once

namespace byhand {

// kNone keeps each loss, kSum adds up the losses, and kMean divides their sum by their number. The mean over
// no losses is NaN. Sums are taken in double precision, in an order that depends only on the shape.
enum class Reduction { kNone, kSum, kMean };

// The gradient with respect to the loss. With Reduction::kNone, `each` holds one gradient per loss, or is
// null if all of them are 1, and `value` is 1. With the other reductions, `each` is null and `value` is the
// gradient.
struct GradLoss {
  const float* each;
  float value;
};

}  // namespace byhand
