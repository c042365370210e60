// The factors of one step of Adam, which are the same for all parameters.
#pragma once

namespace byhand {

// For each parameter p:
//   g = gradient + decay * p
//   first = keep_first * first + take_first * g,  second = keep_second * second + take_second * g^2
//   p = shrink * p - rate * first / (root * sqrt(second) + eps)
// `rate` contains the bias correction of the first moment, `root` that of the second moment.
struct AdamFactors {
  float keep_first, take_first;    // beta1 and 1 - beta1
  float keep_second, take_second;  // beta2 and 1 - beta2
  float rate, root, eps;
  float decay, shrink;
};

}  // namespace byhand
