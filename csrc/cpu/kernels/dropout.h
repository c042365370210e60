// The contract of the dropout kernel. ops/dropout.h has the formula.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The number of values that share 16 consecutive blocks of random words. The random number generator gives
// blocks of four words, one word per value.
inline constexpr int kDropoutGroup = 64;
struct DropoutCounter {
  uint64_t seed;
  uint32_t step, stream;
  int64_t group;  // the number of the group whose first value is x[0]
};

struct DropoutKernels {
  // y[i] = 0 if 1 + u[i] < limit, otherwise x[i] * scale. u[i] is a random number in [0, 1).
  void (*dropout)(const DropoutCounter&, float limit, float scale, const float* x, int64_t count, float* y);
};

}  // namespace byhand::cpu
