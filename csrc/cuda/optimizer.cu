// The optimizer steps of ops/optimizer.h: parameter by parameter. A step reads and writes every array once,
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

  struct Loaded {
    float parameter, gradient, velocity;
  };
  // Without momentum, the old velocity is not read, because it may have any value.
  __device__ Loaded load(int64_t i) const {
    return {parameters[i], gradients[i], momentum != 0.0f ? velocity[i] : 0.0f};
  }
  __device__ void store(int64_t i, const Loaded& old) const {
    const float p = old.parameter;
    const float g = weight_decay != 0.0f ? fmaf(weight_decay, p, old.gradient) : old.gradient;
    const float v = momentum != 0.0f ? fmaf(momentum, old.velocity, take_gradient * g) : g;
    velocity[i] = v;
    parameters[i] = fmaf(-lr, nesterov ? fmaf(momentum, v, g) : v, p);
  }
};

struct AdamStep : AdamFactors {
  float* parameters;
  const float* gradients;
  float *first, *second;

  struct Loaded {
    float parameter, gradient, first, second;
  };
  __device__ Loaded load(int64_t i) const { return {parameters[i], gradients[i], first[i], second[i]}; }
  __device__ void store(int64_t i, const Loaded& old) const {
    const float p = old.parameter;
    const float g = decay != 0.0f ? fmaf(decay, p, old.gradient) : old.gradient;
    const float m = fmaf(keep_first, old.first, take_first * g);
    const float v = fmaf(keep_second, old.second, take_second * g * g);
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
