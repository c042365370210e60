// Convolution, max pooling and activation of ops/conv2d_pool_act.h, composed of other operators.
//
//   forward    conv2d ------> scratch: whole planes ---> one kernel: maximum, its index, activation ---> y,
//   index backward   dy, y -------> scratch: dz, the gradient before the activation
//              dz, index ---> scratch: whole planes, which are 0 except at the maxima (max_pool2d_backward)
//              planes ------> dx, dw                       dz ---> db
#include "cuda/activation.cuh"
#include "cuda/each.cuh"
#include "cuda/memory.h"
#include "cuda/ops.h"

namespace byhand::cuda {
namespace {

// Pools window i of all planes and applies the activation. Neighbouring threads have neighbouring windows.
template <class F>
struct PoolWindow {
  const float* planes;  // the outputs of the convolution
  int64_t plane_size, width;
  Pair kernel;
  int64_t out_h, out_w;
  float* y;
  int32_t* index;

  __device__ void operator()(int64_t i) const {
    const int64_t line = i / out_w, plane = line / out_h;
    const int64_t row = (line - plane * out_h) * kernel.h, column = (i - line * out_w) * kernel.w;
    const float* const from = planes + plane * plane_size;
    int64_t place = row * width + column;
    float best = from[place];
    // The first of equal values wins. A NaN wins over numbers, and the last NaN over earlier ones.
    for (int64_t u = 0; u < kernel.h; ++u)
      for (int64_t v = 0; v < kernel.w; ++v) {
        const int64_t at = (row + u) * width + column + v;
        const float value = from[at];
        if (value > best || isnan(value)) best = value, place = at;
      }
    y[i] = F::forward(best);
    index[i] = static_cast<int32_t>(place);
  }
};

struct CheckIndex {
  const int32_t* index;
  int64_t plane_size;
  int* bad;

  __device__ void operator()(int64_t i) const {
    if (index[i] < 0 || index[i] >= plane_size) atomicExch(bad, 1);
  }
};

// Writes the gradient with respect to the activation's input to dz, and returns it. If there is no
// activation, returns dy.
const float* before_activation(ops::Activation f, const float* dy, const float* y, int64_t count, float* dz) {
  switch (f) {
    case ops::Activation::kNone:
      return dy;
    case ops::Activation::kRelu:
      relu_backward(dy, y, count, dz);
      break;
    case ops::Activation::kTanh:
      tanh_backward(dy, y, count, dz);
      break;
    case ops::Activation::kSigmoid:
      sigmoid_backward(dy, y, count, dz);
  }
  return dz;
}

}  // namespace

void conv2d_pool_act(const Conv2dShape& s, ops::ConvAlgorithm algorithm, const Pool2dShape& pool,
                     ops::Activation f, const float* x, const float* weight, const float* bias,
                     float* /*cache*/, float* y, int32_t* index) {
  const Scratch<float> planes(s.batch * s.out_channels * s.out_h * s.out_w);
  cuda::conv2d(s, algorithm, x, weight, bias, planes.data());
  with_activation(f, [&](auto activation) {
    const PoolWindow<decltype(activation)> window{planes.data(), s.out_h * s.out_w, s.out_w, pool.kernel,
                                                  pool.out_h,    pool.out_w,        y,       index};
    for_each(pool.planes() * pool.out_h * pool.out_w, window, "conv2d_pool_act");
  });
}

void conv2d_pool_act_backward(const Conv2dShape& s, ops::ConvAlgorithm algorithm, ops::Activation f,
                              const ops::ConvPoolGradients& g) {
  const int64_t plane_count = s.batch * s.out_channels, plane_size = s.out_h * s.out_w;
  const int64_t count = plane_count * g.outputs;
  const Scratch<float> planes(plane_count * plane_size);
  const Scratch<float> dz_memory(f == ops::Activation::kNone ? 0 : count);
  for_each(count, CheckIndex{g.index, plane_size, flag_of(Checked::kConv2dPoolActBackward)},
           "conv2d_pool_act_backward");
  const float* const dz = before_activation(f, g.dy, g.y, count, dz_memory.data());
  max_pool2d_backward(dz, g.index, plane_count, g.outputs, plane_size, planes.data());
  if (g.dx) cuda::conv2d_backward_input(s, algorithm, planes.data(), g.weight, g.dx);
  cuda::conv2d_backward_weight(s, algorithm, planes.data(), g.x, g.dw);
  if (g.db) cuda::conv2d_backward_bias(dz, s.batch, s.out_channels, g.outputs, g.db);
}

}  // namespace byhand::cuda
