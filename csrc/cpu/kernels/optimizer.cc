// Updates of parameters.
#include "cpu/kernels/fill.h"
#include "cpu/vec/loop.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

void sgd(float lr, float momentum, float weight_decay, bool nesterov, int64_t count, float* parameters,
         const float* gradients, float* velocity) {
  const Vec rate = Vec::set(-lr), keep = Vec::set(momentum), decay = Vec::set(weight_decay);
  for_vectors(count, [=](int64_t i, auto n) {
    const Vec p = load(parameters + i, n);
    Vec g = load(gradients + i, n);
    if (weight_decay != 0) g = fma(decay, p, g);
    const Vec v = momentum != 0 ? fma(keep, load(velocity + i, n), g) : g;
    store(v, velocity + i, n);
    store(fma(rate, nesterov ? fma(keep, v, g) : v, p), parameters + i, n);
  });
}

void accumulate(int64_t count, float* target, const float* x) {
  for_vectors(count, [=](int64_t i, auto n) { store(load(target + i, n) + load(x + i, n), target + i, n); });
}

}  // namespace

void fill_optimizer(OptimizerKernels& k) {
  k.sgd = sgd;
  k.accumulate = accumulate;
}

}  // namespace byhand::cpu::BYHAND_ISA
