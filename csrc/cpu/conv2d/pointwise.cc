#include "cpu/conv2d/pointwise.h"

#include <algorithm>
#include <utility>

#include "core/scratch.h"
#include "cpu/conv2d/ordered_sums.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"
#include "ops/gemm.h"

namespace byhand::cpu {

using ops::gemm;
using ops::Matrix;

namespace {

// The matrix products of a convolution. There is one per image and group: y (out, plane) is the product of
// weight (out, in) and x (in, plane).
struct Products {
  int64_t in, out, plane;  // the channels of a group, and the values of a channel
  int64_t count;           // the number of products, images times groups
  double ns;               // the approximate duration of one product

  explicit Products(const Conv2dShape& s)
      : in(s.group_in()),
        out(s.group_out()),
        plane(s.in_h * s.in_w),
        count(s.batch * s.groups),
        ns(fma_ns(static_cast<double>(in * out) * static_cast<double>(plane))) {}
  Matrix weight(const float* w, int64_t group) const { return {w + group * out * in, out, in, in, 1}; }
  Matrix x(const float* data, int64_t i) const { return {data + i * in * plane, in, plane, plane, 1}; }
  Matrix y(const float* data, int64_t i) const { return {data + i * out * plane, out, plane, plane, 1}; }
};

}  // namespace

bool is_pointwise(const Conv2dShape& s) {
  return s.kernel.h == 1 && s.kernel.w == 1 && s.stride.h == 1 && s.stride.w == 1 && s.out_h == s.in_h &&
         s.out_w == s.in_w && s.padding.top == 0 && s.padding.left == 0;
}

void pointwise_forward(const Conv2dShape& s, const float* x, const float* weight, const float* bias,
                       float* y) {
  const Products p(s);
  parallel_for(p.count, p.ns, [&](int64_t i) {
    const int64_t group = i % s.groups;
    float* const to = y + i * p.out * p.plane;
    if (bias)
      for (int64_t o = 0; o < p.out; ++o) std::fill_n(to + o * p.plane, p.plane, bias[group * p.out + o]);
    gemm(1, p.weight(weight, group), p.x(x, i), bias ? 1.0f : 0.0f, p.y(to, 0), to);
  });
}

void pointwise_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx) {
  const Products p(s);
  parallel_for(p.count, p.ns, [&](int64_t i) {
    gemm(1, p.weight(weight, i % s.groups).transposed(), p.y(dy, i), 0, {}, dx + i * p.in * p.plane);
  });
}

// For each group, dw (out, in) is the sum of dy x' over images, where a prime denotes the transpose. Computed
// in another way, dw is the transpose of the sum of x dy'. The faster way is the one that transposes the
// smaller of the two arrays dy and x.
void pointwise_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw) {
  const Products p(s);
  const int64_t size = p.out * p.in, sums = partial_sum_count(s, s.groups * size), tasks = sums * s.groups;
  const bool transposed = p.in > p.out;
  ScratchFrame frame;
  float* const all = frame.allocate<float>(tasks * size);
  const auto add_images = [&](int64_t i) {
    const Range images = split(s.batch, sums, i / s.groups);
    float* const own = all + i * size;
    for (int64_t n = images.begin; n < images.end; ++n) {
      Matrix a = p.y(dy, n * s.groups + i % s.groups), b = p.x(x, n * s.groups + i % s.groups);
      if (transposed) std::swap(a, b);
      gemm(1, a, b.transposed(), n > images.begin, {own, a.rows, b.rows, b.rows, 1}, own);
    }
  };
  const double ns = p.ns * static_cast<double>(p.count) / static_cast<double>(tasks);
  if (tasks >= num_threads())
    parallel_for(tasks, ns, add_images);
  else  // here, the threads share each product
    for (int64_t i = 0; i < tasks; ++i) add_images(i);
  add_in_order(all + s.groups * size, sums - 1, s.groups * size, s.groups * size, all);
  if (!transposed) std::copy_n(all, s.groups * size, dw);
  for (int64_t g = 0; transposed && g < s.groups; ++g)
    for (int64_t o = 0; o < p.out; ++o)
      for (int64_t c = 0; c < p.in; ++c) dw[(g * p.out + o) * p.in + c] = all[(g * p.in + c) * p.out + o];
}

}  // namespace byhand::cpu
