// How the losses of a batch are combined.
#pragma once

namespace byhand {

// kNone keeps each loss, kSum adds up the losses, and kMean divides their sum by their number. The mean over
// no losses is NaN. Sums are taken in double precision, in an order that depends only on the shape.
enum class Reduction { kNone, kSum, kMean };

// The gradient with respect to the loss. With Reduction::kNone, `value` is 1, and `each` holds one gradient
// per loss or, if all of these gradients are 1, is null. With the other reductions, `each` is null and
// `value` is the gradient.
struct GradLoss {
  const float* each;
  float value;
};

}  // namespace byhand
