// The optimizer steps of ops/optimizer.h: one thread per parameter. A step reads and writes every array once,
// so the memory limits its speed. fmaf is written out so that every compiler rounds in the same places.
#include <cmath>

#include "core/check.h"
#include "cuda/each.cuh"
#include "cuda/ops.h"

namespace byhand::cuda {
namespace {

struct SgdStep {
  float lr, momentum;
  float take_gradient;  // 1 - dampening
  float weight_decay;
  bool nesterov;
  float* parameters;
  const float* gradients;
  float* velocity;

  __device__ void operator()(int64_t i) const {
    const float p = parameters[i];
    float g = gradients[i];
    if (weight_decay != 0.0f) g = fmaf(weight_decay, p, g);
    const float v = momentum != 0.0f ? fmaf(momentum, velocity[i], take_gradient * g) : g;
    velocity[i] = v;
    parameters[i] = fmaf(-lr, nesterov ? fmaf(momentum, v, g) : v, p);
  }
};

// The factors of one step of Adam. They are the same for all parameters.
//   p = shrink * p - rate * m / (root * sqrt(v) + eps)
struct AdamStep {
  float keep_first, take_first;    // beta1 and 1 - beta1
  float keep_second, take_second;  // beta2 and 1 - beta2
  float rate, root, eps;           // rate and root contain the bias corrections of m and v
  float decay, shrink;
  float* parameters;
  const float* gradients;
  float *first, *second;

  __device__ void operator()(int64_t i) const {
    const float p = parameters[i];
    float g = gradients[i];
    if (decay != 0.0f) g = fmaf(decay, p, g);
    const float m = fmaf(keep_first, first[i], take_first * g);
    const float v = fmaf(keep_second, second[i], take_second * g * g);
    first[i] = m;
    second[i] = v;
    parameters[i] = fmaf(-rate, m / fmaf(root, sqrtf(v), eps), shrink * p);
  }
};

}  // namespace

void sgd_step(const ops::Sgd& sgd, int64_t count, float* parameters, const float* gradients,
              float* velocity) {
  const auto take_gradient = static_cast<float>(1 - sgd.dampening);
  for_each(count,
           SgdStep{sgd.lr, sgd.momentum, take_gradient, sgd.weight_decay, sgd.nesterov, parameters, gradients,
                   velocity},
           "sgd_step");
}

void adam_step(const ops::Adam& adam, int64_t step, int64_t count, float* parameters, const float* gradients,
               float* first_moment, float* second_moment) {
  require(step >= 1, "step must be at least 1, got ", step);
  require(adam.beta1 >= 0 && adam.beta1 < 1, "beta1 must be from 0 to below 1, got ", adam.beta1);
  require(adam.beta2 >= 0 && adam.beta2 < 1, "beta2 must be from 0 to below 1, got ", adam.beta2);
  // The factors are computed in double. If beta2 were float32, 1 - beta2 would keep only five digits.
  const auto exponent = static_cast<double>(step);
  const double first_bias = 1 - std::pow(adam.beta1, exponent);
  const double second_bias = 1 - std::pow(adam.beta2, exponent);
  for_each(count,
           AdamStep{
               .keep_first = static_cast<float>(adam.beta1),
               .take_first = static_cast<float>(1 - adam.beta1),
               .keep_second = static_cast<float>(adam.beta2),
               .take_second = static_cast<float>(1 - adam.beta2),
               .rate = static_cast<float>(adam.lr / first_bias),
               .root = static_cast<float>(1 / std::sqrt(second_bias)),
               .eps = static_cast<float>(adam.eps),
               .decay = static_cast<float>(adam.decoupled ? 0 : adam.weight_decay),
               .shrink = static_cast<float>(adam.decoupled ? 1 - adam.lr * adam.weight_decay : 1),
               .parameters = parameters,
               .gradients = gradients,
               .first = first_moment,
               .second = second_moment,
           },
           "adam_step");
}

}  // namespace byhand::cuda
