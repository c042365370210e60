// Convolution, max pooling and activation of ops/conv2d_pool_act.h, composed of other operators.
//
//   forward     conv2d ----> scratch: whole planes
//               planes ----> maximum and its index in each window, activation ----> y, index
//   backward    dy, y ----> scratch: dz, the gradient before the activation
//               dz, index ----> scratch: whole planes, 0 except at the maxima (max_pool2d_backward)
//               planes ----> dx, dw        dz ----> db
#include "cuda/activation.cuh"
#include "cuda/each.cuh"
#include "cuda/memory.h"
#include "cuda/ops.h"

namespace byhand::cuda {
namespace {

// Pools window i of all planes and applies the activation. Neighbouring threads have neighbouring windows.
// The number of a window, and of a value, is a Number: uint32_t if that is large enough, because a division
// of 64-bit numbers takes several times as long.
template <class F, class Number>
struct PoolWindow {
  const float* planes;  // the outputs of the convolution
  Number plane_size, width, kernel_h, kernel_w, out_h, out_w;
  float* y;
  int32_t* index;

  struct Maximum {
    float value;
    Number place;
  };
  __device__ Maximum load(int64_t window) const {
    const auto i = static_cast<Number>(window);
    const Number line = i / out_w, plane = line / out_h;
    const Number row = (line - plane * out_h) * kernel_h, column = (i - line * out_w) * kernel_w;
    const float* const from = planes + plane * plane_size;
    Number place = row * width + column;
    float best = from[place];
    // The first of equal values wins. A NaN wins over numbers, and the last NaN over earlier ones.
    for (Number u = 0; u < kernel_h; ++u)
      for (Number v = 0; v < kernel_w; ++v) {
        const Number at = (row + u) * width + column + v;
        const float value = from[at];
        if (value > best || isnan(value)) best = value, place = at;
      }
    return {best, place};
  }
  __device__ void store(int64_t i, const Maximum& best) const {
    y[i] = F::forward(best.value);
    index[i] = static_cast<int32_t>(best.place);
  }
};

struct CheckIndex {
  const int32_t* index;
  int64_t plane_size;
  int* bad;

  __device__ int32_t load(int64_t i) const { return index[i]; }
  __device__ void store(int64_t, int32_t place) const {
    if (place < 0 || place >= plane_size) report_bad(bad);
  }
};

}  // namespace

void conv2d_pool_act(const Conv2dShape& s, ops::ConvAlgorithm algorithm, const Pool2dShape& pool,
                     ops::Activation f, const float* x, const float* weight, const float* bias,
                     float* /*cache*/, float* y, int32_t* index) {
  const int64_t count = s.batch * s.out_channels * s.out_h * s.out_w;
  const Scratch<float> planes(count);
  cuda::conv2d(s, algorithm, x, weight, bias, planes.data());
  const auto pool_windows = [&](auto activation, auto number) {
    using F = decltype(activation);
    using Number = decltype(number);
    const auto n = [](int64_t value) { return static_cast<Number>(value); };
    const PoolWindow<F, Number> window{planes.data(),
                                       n(s.out_h * s.out_w),
                                       n(s.out_w),
                                       n(pool.kernel.h),
                                       n(pool.kernel.w),
                                       n(pool.out_h),
                                       n(pool.out_w),
                                       y,
                                       index};
    for_each<1>(pool.planes() * pool.out_h * pool.out_w, window, "conv2d_pool_act");
  };
  with_activation(f, [&](auto activation) {
    if (count <= INT32_MAX)
      pool_windows(activation, uint32_t{});
    else
      pool_windows(activation, int64_t{});
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
  const float* dz = g.dy;
  if (f != ops::Activation::kNone) {
    dz = dz_memory.data();
    with_activation(f, [&](auto activation) {
      for_each(count, Backward<decltype(activation)>{g.dy, g.y, dz_memory.data()},
               "conv2d_pool_act_backward");
    });
  }
  max_pool2d_backward(dz, g.index, plane_count, g.outputs, plane_size, planes.data());
  if (g.dx) cuda::conv2d_backward_input(s, algorithm, planes.data(), g.weight, g.dx);
  cuda::conv2d_backward_weight(s, algorithm, planes.data(), g.x, g.dw);
  if (g.db) cuda::conv2d_backward_bias(dz, s.batch, s.out_channels, g.outputs, g.db);
}

}  // namespace byhand::cuda
