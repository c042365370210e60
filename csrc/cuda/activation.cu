// The activation functions of ops/activation.h, and the sum of two arrays: value by value. Each thread
// reads what belongs to an index before it writes it, so a result may be the same array as an input.
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

  __device__ float load(int64_t i) const { return x[i]; }
  __device__ void store(int64_t i, float value) const { y[i] = F::forward(value); }
};

struct Sum {
  const float *a, *b;
  float* y;

  __device__ float2 load(int64_t i) const { return {a[i], b[i]}; }
  __device__ void store(int64_t i, float2 v) const { y[i] = v.x + v.y; }
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
