// The activation functions of ops/activation.h, and the sum of two arrays: one thread per value. Each thread
// reads its values before it writes, so a result may be the same array as an input.
#include "cuda/activation.cuh"
#include "cuda/each.cuh"
#include "cuda/ops.h"

namespace byhand::cuda {
namespace {

// y = f(x)
template <class F>
struct Forward {
  const float* x;
  float* y;

  __device__ void operator()(int64_t i) const { y[i] = F::forward(x[i]); }
};

// dx = the gradient with respect to x
template <class F>
struct Backward {
  const float *dy, *y;
  float* dx;

  __device__ void operator()(int64_t i) const { dx[i] = F::backward(dy[i], y[i]); }
};

struct Sum {
  const float *a, *b;
  float* y;

  __device__ void operator()(int64_t i) const { y[i] = a[i] + b[i]; }
};

}  // namespace

void relu(const float* x, int64_t count, float* y) { for_each(count, Forward<Relu>{x, y}, "relu"); }

void relu_backward(const float* dy, const float* y, int64_t count, float* dx) {
  for_each(count, Backward<Relu>{dy, y, dx}, "relu_backward");
}

void tanh(const float* x, int64_t count, float* y) { for_each(count, Forward<Tanh>{x, y}, "tanh"); }

void tanh_backward(const float* dy, const float* y, int64_t count, float* dx) {
  for_each(count, Backward<Tanh>{dy, y, dx}, "tanh_backward");
}

void sigmoid(const float* x, int64_t count, float* y) { for_each(count, Forward<Sigmoid>{x, y}, "sigmoid"); }

void sigmoid_backward(const float* dy, const float* y, int64_t count, float* dx) {
  for_each(count, Backward<Sigmoid>{dy, y, dx}, "sigmoid_backward");
}

void add(const float* a, const float* b, int64_t count, float* y) { for_each(count, Sum{a, b, y}, "add"); }

}  // namespace byhand::cuda
