// The squared error of each value, the sum of all squared errors, and the gradient.
#include "cpu/kernels/squared_error.h"
#include "cpu/vec/loop.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

void each(const float* prediction, const float* target, int64_t count, float* error) {
  for_vectors(count, [=](int64_t i, auto n) {
    const Vec d = load(prediction + i, n) - load(target + i, n);
    store(d * d, error + i, n);
  });
}

double sum_of_squares(const float* prediction, const float* target, int64_t count) {
  DoubleSum sum;
  for_vectors(count, [=, &sum](int64_t i, auto n) {
    const Vec d = load(prediction + i, n) - load(target + i, n);
    sum.add(d * d);
  });
  return sum.total();
}

void backward(const float* prediction, const float* target, const float* grad_each, float factor,
              int64_t count, float* grad) {
  for_vectors(count, [=](int64_t i, auto n) {
    Vec scale = Vec::set(factor);
    if (grad_each) scale = scale * load(grad_each + i, n);
    store(scale * (load(prediction + i, n) - load(target + i, n)), grad + i, n);
  });
}

}  // namespace

void fill_squared_error(SquaredErrorKernels& k) {
  k.each = each;
  k.sum = sum_of_squares;
  k.backward = backward;
}

}  // namespace byhand::cpu::BYHAND_ISA
