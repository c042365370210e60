// Squared error of `count` values.
//   e_i = (prediction_i - target_i)^2         d prediction_i = 2 (prediction_i - target_i) * gradient of e_i
#pragma once

#include <stdint.h>

#include "core/reduction.h"

namespace byhand::ops {

// Every e_i, without reduction.
void squared_errors(const float* prediction, const float* target, int64_t count, float* errors);
// Their sum or mean.
float squared_error(const float* prediction, const float* target, int64_t count, Reduction reduction);

void squared_error_backward(const float* prediction, const float* target, int64_t count, Reduction reduction,
                            GradLoss grad_loss, float* grad_prediction);

}  // namespace byhand::ops
