#include "cpu/activation.h"

#include "cpu/kernels/activation.h"
#include "cpu/kernels/reduce.h"
#include "cpu/runtime/parallel_ranges.h"

namespace byhand::ops {

using namespace cpu;

namespace {

// Estimated nanoseconds per value: for tanh and sigmoid, the time of an exponential on the slowest
// instruction set; for relu, the time to read one array and to write another.
constexpr double kExponentialNs = 2;
const double kTwoArraysNs = memory_ns(2 * sizeof(float));

void forward(ActivationKernels::Forward kernel, double ns, const float* x, int64_t count, float* y) {
  parallel_ranges(count, ns, [=](int64_t begin, int64_t end) { kernel(x + begin, end - begin, y + begin); });
}

}  // namespace

void relu(const float* x, int64_t count, float* y) {
  forward(kernels<ActivationKernels>().relu, kTwoArraysNs, x, count, y);
}

void tanh(const float* x, int64_t count, float* y) {
  forward(kernels<ActivationKernels>().tanh, kExponentialNs, x, count, y);
}

void sigmoid(const float* x, int64_t count, float* y) {
  forward(kernels<ActivationKernels>().sigmoid, kExponentialNs, x, count, y);
}

void relu_backward(const float* dy, const float* y, int64_t count, float* dx) {
  activation_backward(kernels<ActivationKernels>().relu_backward, dy, y, count, dx);
}

void tanh_backward(const float* dy, const float* y, int64_t count, float* dx) {
  activation_backward(kernels<ActivationKernels>().tanh_backward, dy, y, count, dx);
}

void sigmoid_backward(const float* dy, const float* y, int64_t count, float* dx) {
  activation_backward(kernels<ActivationKernels>().sigmoid_backward, dy, y, count, dx);
}

void add(const float* a, const float* b, int64_t count, float* y) {
  const auto kernel = kernels<ReduceKernels>().add;
  parallel_ranges(count, memory_ns(3 * sizeof(float)),
                  [=](int64_t begin, int64_t end) { kernel(a + begin, b + begin, end - begin, y + begin); });
}

}  // namespace byhand::ops

namespace byhand::cpu {

ActivationKernels::Forward forward_kernel(ops::Activation f) {
  const ActivationKernels& k = kernels<ActivationKernels>();
  switch (f) {
    case ops::Activation::kRelu:
      return k.relu;
    case ops::Activation::kTanh:
      return k.tanh;
    case ops::Activation::kSigmoid:
      return k.sigmoid;
    case ops::Activation::kNone:
      break;
  }
  return nullptr;
}

ActivationKernels::Backward backward_kernel(ops::Activation f) {
  const ActivationKernels& k = kernels<ActivationKernels>();
  switch (f) {
    case ops::Activation::kRelu:
      return k.relu_backward;
    case ops::Activation::kTanh:
      return k.tanh_backward;
    case ops::Activation::kSigmoid:
      return k.sigmoid_backward;
    case ops::Activation::kNone:
      break;
  }
  return nullptr;
}

void activation_backward(ActivationKernels::Backward kernel, const float* dy, const float* y, int64_t count,
                         float* dx) {
  parallel_ranges(count, memory_ns(3 * sizeof(float)), [=](int64_t begin, int64_t end) {
    kernel(dy + begin, y + begin, end - begin, dx + begin);
  });
}

}  // namespace byhand::cpu
