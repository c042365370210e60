// Squared differences, their sum and their gradient.
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

void backward(const float* prediction, const float* target, const float* each_gradient, float factor,
              int64_t count, float* grad) {
  for_vectors(count, [=](int64_t i, auto n) {
    Vec scale = Vec::set(factor);
    if (each_gradient) scale = scale * load(each_gradient + i, n);
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
