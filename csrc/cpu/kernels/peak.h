// The contract of the kernel that does as many multiply-adds per second as one core can.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct PeakKernels {
  // Does steps * flops_per_step floating-point operations in registers. The result has no meaning, but it
  // keeps the compiler from removing the operations.
  float (*fma_chains)(int64_t steps);
  int flops_per_step;
};

}  // namespace byhand::cpu
