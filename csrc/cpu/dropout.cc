#include "ops/dropout.h"

#include <algorithm>

#include "cpu/kernels/dropout.h"
#include "cpu/runtime/parallel_ranges.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

void dropout(const DropoutKey& key, float rate, const float* x, int64_t count, float* y) {
  const auto kernel = kernels<DropoutKernels>().dropout;
  constexpr double kNs = 1.5;  // estimated nanoseconds per value, on the slowest instruction set
  const float limit = 1 + rate, scale = static_cast<float>(1 / (1 - static_cast<double>(rate)));
  parallel_ranges(ceil_div(count, kDropoutGroup), kNs * kDropoutGroup, [=, &key](int64_t begin, int64_t end) {
    const int64_t first = begin * kDropoutGroup, last = std::min(end * kDropoutGroup, count);
    kernel({key.seed, key.step, key.stream, begin}, limit, scale, x + first, last - first, y + first);
  });
}

}  // namespace byhand::ops
