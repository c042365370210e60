#include "ops/squared_error.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/kernels/squared_error.h"
#include "cpu/runtime/parallel_ranges.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

namespace {

const double kNs = memory_ns(3 * sizeof(float));  // estimated nanoseconds per value

// The number of values per partial sum. It is fixed, and the partial sums are added in order, so the bits of
// the result do not depend on the number of threads.
constexpr int64_t kBlock = 16384;

}  // namespace

void squared_errors(const float* prediction, const float* target, int64_t count, float* errors) {
  const auto kernel = kernels<SquaredErrorKernels>().each;
  parallel_ranges(count, kNs, [=](int64_t begin, int64_t end) {
    kernel(prediction + begin, target + begin, end - begin, errors + begin);
  });
}

void squared_error(const float* prediction, const float* target, int64_t count, Reduction reduction,
                   float* error) {
  const auto kernel = kernels<SquaredErrorKernels>().sum;
  const int64_t blocks = ceil_div(count, kBlock);
  ScratchFrame frame;
  double* const sums = frame.allocate<double>(blocks);
  parallel_for(blocks, kNs * kBlock, [=](int64_t i) {
    const int64_t begin = i * kBlock;
    sums[i] = kernel(prediction + begin, target + begin, std::min(kBlock, count - begin));
  });
  double total = 0;
  for (int64_t i = 0; i < blocks; ++i) total += sums[i];
  *error = static_cast<float>(reduction == Reduction::kMean ? total / static_cast<double>(count) : total);
}

void squared_error_backward(const float* prediction, const float* target, int64_t count, Reduction reduction,
                            GradLoss grad_loss, float* grad_prediction) {
  const auto kernel = kernels<SquaredErrorKernels>().backward;
  const double share = reduction == Reduction::kMean ? 1 / static_cast<double>(count) : 1;
  const float factor = static_cast<float>(2 * share * grad_loss.value);
  parallel_ranges(count, kNs, [=](int64_t begin, int64_t end) {
    kernel(prediction + begin, target + begin, grad_loss.each ? grad_loss.each + begin : nullptr, factor,
           end - begin, grad_prediction + begin);
  });
}

}  // namespace byhand::ops
