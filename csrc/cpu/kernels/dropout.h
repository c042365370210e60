// The contract of the dropout kernel. ops/dropout.h has the formula.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// Values are drawn in groups of 64.
inline constexpr int kDropoutGroup = 64;
struct DropoutCounter {
  uint64_t seed;
  uint32_t step, stream;
  int64_t group;  // of x[0]
};

struct DropoutKernels {
  // y = 0 if 1 + u < limit, else x * scale.
  void (*dropout)(const DropoutCounter&, float limit, float scale, const float* x, int64_t count, float* y);
};

}  // namespace byhand::cpu
