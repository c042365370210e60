#include "ops/optimizer.h"

#include "cpu/runtime/parallel_ranges.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

void sgd_step(const Sgd& sgd, int64_t count, float* parameters, const float* gradients, float* velocity) {
  const auto kernel = kernels().optimizer.sgd;
  parallel_ranges(count, memory_ns(5 * sizeof(float)), [=, &sgd](int64_t begin, int64_t end) {
    kernel(sgd.lr, sgd.momentum, sgd.weight_decay, sgd.nesterov, end - begin, parameters + begin,
           gradients + begin, velocity + begin);
  });
}

void accumulate(int64_t count, float* target, const float* x) {
  const auto kernel = kernels().optimizer.accumulate;
  parallel_ranges(count, memory_ns(3 * sizeof(float)),
                  [=](int64_t begin, int64_t end) { kernel(end - begin, target + begin, x + begin); });
}

}  // namespace byhand::ops
