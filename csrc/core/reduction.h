// The reduction of losses to one number.
#pragma once

namespace byhand {

// kMean over nothing is NaN. Sums are taken in double, in an order that the shape alone fixes.
enum class Reduction { kNone, kSum, kMean };

// The gradient of the loss: one of each loss for Reduction::kNone, else `value`. kNone with `each` null:
// all 1.
struct GradLoss {
  const float* each;
  float value;
};

}  // namespace byhand
