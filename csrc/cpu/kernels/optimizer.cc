// One step of SGD or Adam, in one pass over the parameters.
#include "cpu/kernels/optimizer.h"
#include "cpu/vec/loop.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

void sgd(float lr, float momentum, float take_gradient, float weight_decay, bool nesterov, int64_t count,
         float* parameters, const float* gradients, float* velocity) {
  const Vec rate = Vec::set(-lr), keep = Vec::set(momentum), decay = Vec::set(weight_decay);
  const Vec take = Vec::set(take_gradient);
  for_vectors(count, [=](int64_t i, auto n) {
    const Vec p = load(parameters + i, n);
    Vec g = load(gradients + i, n);
    if (weight_decay != 0) g = fma(decay, p, g);
    // Without dampening, skip the multiplication by 1, which would make the step 8 % slower on plain x86-64.
    const Vec taken = take_gradient != 1 ? take * g : g;
    const Vec v = momentum != 0 ? fma(keep, load(velocity + i, n), taken) : g;
    store(v, velocity + i, n);
    store(fma(rate, nesterov ? fma(keep, v, g) : v, p), parameters + i, n);
  });
}

void adam(const AdamFactors& factors, int64_t count, float* parameters, const float* gradients, float* first,
          float* second) {
  const AdamFactors f = factors;
  const Vec keep_first = Vec::set(f.keep_first), take_first = Vec::set(f.take_first);
  const Vec keep_second = Vec::set(f.keep_second), take_second = Vec::set(f.take_second);
  const Vec rate = Vec::set(-f.rate), root = Vec::set(f.root), eps = Vec::set(f.eps);
  const Vec decay = Vec::set(f.decay), shrink = Vec::set(f.shrink);
  for_vectors(count, [=](int64_t i, auto n) {
    const Vec p = load(parameters + i, n);
    Vec g = load(gradients + i, n);
    if (f.decay != 0) g = fma(decay, p, g);
    const Vec m = fma(keep_first, load(first + i, n), take_first * g);
    const Vec v = fma(keep_second, load(second + i, n), take_second * g * g);
    store(m, first + i, n);
    store(v, second + i, n);
    store(fma(rate, m / fma(root, sqrt(v), eps), shrink * p), parameters + i, n);
  });
}

}  // namespace

void fill_optimizer(OptimizerKernels& k) {
  k.sgd = sgd;
  k.adam = adam;
}

}  // namespace byhand::cpu::BYHAND_ISA
