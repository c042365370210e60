#include "ops/optimizer.h"

#include "cpu/kernels/optimizer.h"
#include "cpu/runtime/parallel_ranges.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

void sgd_step(const Sgd& sgd, int64_t count, float* parameters, const float* gradients, float* velocity) {
  const auto kernel = kernels<OptimizerKernels>().sgd;
  const auto take_gradient = static_cast<float>(1 - sgd.dampening);
  parallel_ranges(count, memory_ns(5 * sizeof(float)), [=, &sgd](int64_t begin, int64_t end) {
    kernel(sgd.lr, sgd.momentum, take_gradient, sgd.weight_decay, sgd.nesterov, end - begin,
           parameters + begin, gradients + begin, velocity + begin);
  });
}

void adam_step(const Adam& adam, int64_t step, int64_t count, float* parameters, const float* gradients,
               float* first_moment, float* second_moment) {
  const AdamFactors factors = adam_factors(adam, step);
  const auto kernel = kernels<OptimizerKernels>().adam;
  parallel_ranges(count, memory_ns(7 * sizeof(float)), [=, &factors](int64_t begin, int64_t end) {
    kernel(factors, end - begin, parameters + begin, gradients + begin, first_moment + begin,
           second_moment + begin);
  });
}

}  // namespace byhand::ops
