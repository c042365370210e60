// Activations and their gradients.
#include "cpu/kernels/activation.h"
#include "cpu/vec/loop.h"
#include "cpu/vec/math.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// y[i] = f(x[i]). `f` takes and returns a Vec.
template <class F>
void map(const float* x, int64_t count, float* y, F f) {
  for_vectors(count, [=](int64_t i, auto n) { store(f(load(x + i, n)), y + i, n); });
}

// y[i] = f(a[i], b[i])
template <class F>
void map(const float* a, const float* b, int64_t count, float* y, F f) {
  for_vectors(count, [=](int64_t i, auto n) { store(f(load(a + i, n), load(b + i, n)), y + i, n); });
}

void relu(const float* x, int64_t count, float* y) {
  map(x, count, y, [](Vec v) { return max(Vec::zero(), v); });  // NaN if v is NaN
}

void relu_backward(const float* dy, const float* y, int64_t count, float* dx) {
  map(dy, y, count, dx, [](Vec g, Vec v) { return select((v > Vec::zero()) | is_nan(v), g, Vec::zero()); });
}

void tanh_all(const float* x, int64_t count, float* y) {
  map(x, count, y, [](Vec v) { return tanh(v); });
}

// (1 - y) * (1 + y) is more accurate than 1 - y * y: if y is near 1, the difference 1 - y is exact, but the
// product y * y is rounded.
void tanh_backward(const float* dy, const float* y, int64_t count, float* dx) {
  map(dy, y, count, dx, [](Vec g, Vec v) { return g * ((Vec::set(1) - v) * (Vec::set(1) + v)); });
}

void sigmoid_all(const float* x, int64_t count, float* y) {
  map(x, count, y, [](Vec v) { return sigmoid(v); });
}

void sigmoid_backward(const float* dy, const float* y, int64_t count, float* dx) {
  map(dy, y, count, dx, [](Vec g, Vec v) { return g * ((Vec::set(1) - v) * v); });
}

}  // namespace

void fill_activation(ActivationKernels& k) {
  k.relu = relu;
  k.tanh = tanh_all;
  k.sigmoid = sigmoid_all;
  k.relu_backward = relu_backward;
  k.tanh_backward = tanh_backward;
  k.sigmoid_backward = sigmoid_backward;
}

}  // namespace byhand::cpu::BYHAND_ISA
