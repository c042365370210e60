// The optimizer steps of ops/optimizer.h: one thread per parameter. A step reads and writes every array once,
// so the memory limits its speed. fmaf is written out so that every compiler rounds in the same places.
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

struct AdamStep : AdamFactors {
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
  for_each(count, AdamStep{adam_factors(adam, step), parameters, gradients, first_moment, second_moment},
           "adam_step");
}

}  // namespace byhand::cuda
