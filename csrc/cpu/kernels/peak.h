// The contract of the kernel that measures the peak of multiply-adds.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct PeakKernels {
  // Does `steps` times flops_per_step floating-point operations in registers. The result only keeps the
  // compiler from removing them.
  float (*fma_chains)(int64_t steps);
  int flops_per_step;
};

}  // namespace byhand::cpu
