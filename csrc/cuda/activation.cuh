// The activation functions of ops/activation.h for one value, which fused operators share.
#pragma once

#include "cuda/launch.h"
#include "ops/activation.h"

namespace byhand::cuda {

// The activation of an operator that has none.
struct Identity {
  __device__ static float forward(float x) { return x; }
  __device__ static float backward(float dy, float) { return dy; }
};

struct Relu {
  // fmaxf would turn NaN into 0.
  __device__ static float forward(float x) { return x > 0.0f || x != x ? x : 0.0f; }
  __device__ static float backward(float dy, float y) { return y > 0.0f || y != y ? dy : 0.0f; }
};

struct Tanh {
  __device__ static float forward(float x) { return tanhf(x); }
  // (1 - y) * (1 + y) is more accurate than 1 - y * y: if y is near 1, the difference 1 - y is exact, but the
  // square is rounded.
  __device__ static float backward(float dy, float y) { return dy * ((1.0f - y) * (1.0f + y)); }
};

struct Sigmoid {
  // The exponent is never positive, so the exponential is at most 1. With exp(-x), the result for x below -88
  // would be 0 instead of a subnormal number, because the exponential would be infinite.
  __device__ static float forward(float x) {
    const float e = expf(-fabsf(x));
    return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
  }
  __device__ static float backward(float dy, float y) { return dy * ((1.0f - y) * y); }
};

// dx = the gradient with respect to the activation's input, for for_each (each.cuh)
template <class F>
struct Backward {
  const float *dy, *y;
  float* dx;

  __device__ float2 load(int64_t i) const { return {dy[i], y[i]}; }
  __device__ void store(int64_t i, float2 v) const { dx[i] = F::backward(v.x, v.y); }
};

// Calls work(F{}), in which F is the type of the activation. A kernel has F as a template parameter. With a
// branch for each value instead, the loads of a thread would wait for each other, and a kernel that applies
// the activation in many places would hold the instructions of all activations in each of them.
template <class Work>
void with_activation(ops::Activation f, const Work& work) {
  switch (f) {
    case ops::Activation::kNone:
      return work(Identity{});
    case ops::Activation::kRelu:
      return work(Relu{});
    case ops::Activation::kTanh:
      return work(Tanh{});
    case ops::Activation::kSigmoid:
      return work(Sigmoid{});
  }
}

}  // namespace byhand::cuda
