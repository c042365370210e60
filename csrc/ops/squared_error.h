// Squared error of `count` values.
//   e_i = (prediction_i - target_i)^2         d prediction_i = 2 (prediction_i - target_i) * gradient of e_i
// All arrays are contiguous, and no result overlaps an input. If `count` is 0, the sum is 0 and the mean is
// NaN.
#pragma once

#include <stdint.h>

#include "core/reduction.h"

namespace byhand::ops {

// Writes each e_i to `errors`.
void squared_errors(const float* prediction, const float* target, int64_t count, float* errors);
// Writes the sum or the mean of all e_i to `error`.
void squared_error(const float* prediction, const float* target, int64_t count, Reduction reduction,
                   float* error);

// With Reduction::kMean, the gradient is divided by `count`.
void squared_error_backward(const float* prediction, const float* target, int64_t count, Reduction reduction,
                            GradLoss grad_loss, float* grad_prediction);

}  // namespace byhand::ops
