// The contract of the dropout kernel. ops/dropout.h has the formula.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// Each group of kDropoutGroup values takes its random words from 16 neighbouring blocks of counters.
inline constexpr int kDropoutGroup = 64;
struct DropoutCounter {
  uint64_t seed;
  uint32_t step, stream;
  int64_t group;  // the number of the group that begins at x[0]
};

struct DropoutKernels {
  // y = 0 if 1 + u < limit, and x * scale otherwise. u is the random number of the value.
  void (*dropout)(const DropoutCounter&, float limit, float scale, const float* x, int64_t count, float* y);
};

}  // namespace byhand::cpu
