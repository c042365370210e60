#include "ops/optimizer.h"

#include <cmath>

#include "core/check.h"
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
  require(step >= 1, "step must be at least 1, got ", step);
  require(adam.beta1 >= 0 && adam.beta1 < 1, "beta1 must be from 0 to below 1, got ", adam.beta1);
  require(adam.beta2 >= 0 && adam.beta2 < 1, "beta2 must be from 0 to below 1, got ", adam.beta2);
  // These factors are computed in double. If beta2 were float32, 1 - beta2 would keep only five digits.
  const auto exponent = static_cast<double>(step);
  const double first_bias = 1 - std::pow(adam.beta1, exponent);
  const double second_bias = 1 - std::pow(adam.beta2, exponent);
  const AdamFactors factors{
      .keep_first = static_cast<float>(adam.beta1),
      .take_first = static_cast<float>(1 - adam.beta1),
      .keep_second = static_cast<float>(adam.beta2),
      .take_second = static_cast<float>(1 - adam.beta2),
      .rate = static_cast<float>(adam.lr / first_bias),
      .root = static_cast<float>(1 / std::sqrt(second_bias)),
      .eps = static_cast<float>(adam.eps),
      .decay = static_cast<float>(adam.decoupled ? 0 : adam.weight_decay),
      .shrink = static_cast<float>(adam.decoupled ? 1 - adam.lr * adam.weight_decay : 1),
  };
  const auto kernel = kernels<OptimizerKernels>().adam;
  parallel_ranges(count, memory_ns(7 * sizeof(float)), [=, &factors](int64_t begin, int64_t end) {
    kernel(factors, end - begin, parameters + begin, gradients + begin, first_moment + begin,
           second_moment + begin);
  });
}

}  // namespace byhand::ops
