// How the losses of a batch become one number.
#pragma once

namespace byhand {

// kNone keeps each loss. The mean over no loss is NaN. Sums are taken in double precision, in an order that
// depends only on the shape.
enum class Reduction { kNone, kSum, kMean };

// The gradient with respect to the loss. With Reduction::kNone, `each` holds one gradient per loss, and a
// null pointer stands for gradients of 1. With the other reductions, `value` is the gradient.
struct GradLoss {
  const float* each;
  float value;
};

}  // namespace byhand
