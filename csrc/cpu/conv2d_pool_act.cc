#include "ops/conv2d_pool_act.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/check.h"
#include "core/scratch.h"
#include "cpu/activation.h"
#include "cpu/conv2d_dot.h"
#include "cpu/conv2d_method.h"
#include "cpu/conv2d_pooled_dot.h"
#include "cpu/conv2d_winograd.h"
#include "cpu/conv2d_winograd_rows.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"
#include "ops/pool2d.h"

namespace byhand::ops {

using namespace cpu;

namespace {

Conv2dShape images_of(Conv2dShape s, int64_t images) {
  s.batch = images;
  return s;
}

// Images whose convolution stays in L2.
int64_t images_at_a_time(const Conv2dShape& s) {
  return std::clamp<int64_t>(kL2Floats / std::max<int64_t>(1, s.out_channels * s.out_h * s.out_w), 1, 16);
}

// The number of images whose weight gradients one task adds into the same partial sum.
int64_t images_of_a_sum(int64_t batch) { return std::clamp<int64_t>(ceil_div(batch, 4), 4, 16); }

// Throws if an index lies outside the plane.
void check_places(const int32_t* index, int64_t count, int64_t plane) {
  const auto last = static_cast<int32_t>(std::min<int64_t>(plane - 1, std::numeric_limits<int32_t>::max()));
  if (kernels().pool2d.inside(index, count, last)) return;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t place = __atomic_load_n(index + i, __ATOMIC_RELAXED);  // another thread may write to it
    require(place >= 0 && place <= last, "indices must be from 0 to ", plane - 1,
            ", places in a plane of the convolution, got ", place);
  }
  fail("indices must not be changed by another thread while conv2d_pool_act_backward reads them");
}

// The first place of each window of 2 x 2 in a plane.
const int32_t* corners_of_windows(const Conv2dShape& s, ScratchFrame& frame) {
  const int64_t height = s.out_h / 2, width = s.out_w / 2;
  int32_t* const corner = frame.allocate<int32_t>(height * width);
  for (int64_t i = 0; i < height * width; ++i)
    corner[i] = static_cast<int32_t>(i / width * 2 * s.out_w + i % width * 2);
  return corner;
}

// Planes of zeros but for values at their places.
void scatter(const float* values, const int32_t* index, int64_t planes, int64_t count, int64_t plane,
             float* to) {
  std::fill_n(to, planes * plane, 0.0f);
  for (int64_t p = 0; p < planes; ++p, to += plane)
    for (int64_t i = 0; i < count; ++i) to[*index++] += *values++;
}

// The gradient of `count` maxima before the activation: dy, or in `gradient`.
const float* before_activation(Activation f, const float* dy, const float* y, int64_t count,
                               float* gradient) {
  const auto activate_backward = backward_kernel(f);
  if (!activate_backward) return dy;
  activate_backward(dy, y, count, gradient);
  return gradient;
}

// Convolves some images on one thread, by the method that was chosen for the whole batch. The bits are those
// of conv2d.
void convolve(ConvMethod method, const Winograd& w, const Conv2dShape& s, const float* x, const float* weight,
              const float* bias, float* y) {
  if (method == ConvMethod::kDirect) return conv2d(s, ConvAlgorithm::kDirect, x, weight, bias, y);
  if (method == ConvMethod::kWinograd) return w.forward({0, s.batch * w.patches()}, x, bias, y);
  ScratchFrame frame;
  const WinogradRows rows(s, weight, frame);
  for (int64_t i = 0; i < rows.tasks(); ++i) rows.forward(i, x, bias, y);
}

}  // namespace

// A task has some images, and does all for them.
void conv2d_pool_act(const Conv2dShape& s, ConvAlgorithm algorithm, const Pool2dShape& pool, Activation f,
                     const float* x, const float* weight, const float* bias, float* cache, float* y,
                     int32_t* index) {
  const int64_t in = s.in_channels * s.in_h * s.in_w, out = s.out_channels * s.out_h * s.out_w;
  const ConvMethod method = conv_method(s, algorithm, ConvDirection::kForward);
  if (s.batch * out == 0) return;
  const int64_t pooled = pool.channels * pool.out_h * pool.out_w;
  const bool windows_of_4 = pool.kernel.h == 2 && pool.kernel.w == 2;
  ScratchFrame frame;
  if (method == ConvMethod::kWinogradRows && windows_of_4) {
    const WinogradRows rows(s, weight, frame);
    return parallel_for(rows.tasks(), rows.ns(),
                        [&](int64_t i) { rows.forward_pooled(i, f, x, bias, y, index); });
  }
  const bool winograd = method == ConvMethod::kWinograd;
  const Winograd w = winograd ? Winograd(s, weight, frame, cache) : Winograd(s);
  const bool in_registers = winograd && w.pools() && windows_of_4;
  const int64_t tasks = ceil_div(s.batch, std::min(images_at_a_time(s), ceil_div(s.batch, kMostSums)));
  const double ns = winograd ? w.ns(s.batch * w.patches()) : direct_ns(s);
  parallel_for(tasks, ns / static_cast<double>(tasks), [&](int64_t i) {
    const Range own = split(s.batch, tasks, i);
    const int64_t images = own.end - own.begin;
    const float* const own_x = x + own.begin * in;
    float* const own_y = y + own.begin * pooled;
    int32_t* const own_index = index + own.begin * pooled;
    if (in_registers) {
      w.forward_pooled({0, images * w.patches()}, own_x, bias, own_y, own_index);
    } else {
      ScratchFrame own_frame;
      float* const planes = own_frame.allocate<float>(images * out);
      convolve(method, w, images_of(s, images), own_x, weight, bias, planes);
      Pool2dShape own_pool = pool;
      own_pool.batch = images;
      max_pool2d(own_pool, planes, own_y, own_index);
    }
    if (const auto activate = forward_kernel(f)) activate(own_y, images * pooled, own_y);
  });
}

int64_t conv2d_weight_cache_size(const int64_t (&weight)[4]) { return Winograd::cache_size(weight); }
void conv2d_clear_weight_cache(float* cache) { Winograd::clear_cache(cache); }

// A fixed number of tasks have sums of their own, added up in order: the bits don't depend on the threads.
void conv2d_pool_act_backward(const Conv2dShape& s, ConvAlgorithm algorithm, Activation f,
                              const ConvPoolGradients& g) {
  const ConvDirection direction = g.dx ? ConvDirection::kInputGradient : ConvDirection::kWeightGradient;
  const bool winograd = conv_method(s, algorithm, direction) == ConvMethod::kWinograd;
  const int64_t in = s.in_channels * s.in_h * s.in_w, plane = s.out_h * s.out_w;
  const int64_t pooled = s.out_channels * g.outputs, weights = s.out_channels * s.group_in() * s.taps();
  std::fill_n(g.dw, weights, 0.0f);
  if (g.db) std::fill_n(g.db, s.out_channels, 0.0f);
  if (s.batch * pooled == 0) {
    if (g.dx) std::fill_n(g.dx, s.batch * in, 0.0f);
    return;
  }
  ScratchFrame frame;
  const Winograd w = winograd && g.dx ? Winograd(s, g.weight, frame, g.cache) : Winograd(s);
  const int64_t size = winograd ? w.size_of_sums() : weights;
  const int64_t tasks = std::min(ceil_div(s.batch, images_of_a_sum(s.batch)), most_sums(size));
  const bool visits_maxima = !winograd && !g.dx && PooledDots::takes(s);
  // There is one gradient per 2 x 2 window, so every gradient can be placed without a collision.
  const bool windows_of_4 = winograd && w.pools() && g.outputs == s.out_h / 2 * (s.out_w / 2) &&
                            plane <= std::numeric_limits<int32_t>::max();
  const int32_t* const corners = windows_of_4 ? corners_of_windows(s, frame) : nullptr;
  const int64_t at_a_time = visits_maxima ? 1 : images_at_a_time(s), planes_size = s.out_channels * plane;
  const PooledDots pooled_dots(s);
  std::optional<WeightDots> dots;
  if (!winograd && !visits_maxima && weights > 0) dots.emplace(s, frame);
  float* const sums = frame.allocate<float>(tasks * size);
  float* const bias_sums = frame.allocate<float>(tasks * s.out_channels);
  const double ns = winograd ? w.ns(s.batch * w.patches()) : direct_ns(s);
  parallel_for(tasks, ns / static_cast<double>(tasks), [&](int64_t i) {
    const Range own = split(s.batch, tasks, i);
    float* const own_sums = sums + i * size;
    ScratchFrame own_frame;
    float* const gradient = own_frame.allocate<float>(at_a_time * pooled);
    float* const total = own_frame.allocate<float>(pooled);  // over images: the bias's, before it is summed
    std::fill_n(total, pooled, 0.0f);
    if (!winograd) std::fill_n(own_sums, size, 0.0f);
    float* const planes = own_frame.allocate<float>(visits_maxima ? 0 : at_a_time * planes_size);
    // Another thread may write to the caller's indices between the check and the use. pooled_dots checks each
    // one as it reads it; the others get a copy.
    int32_t* const copy = own_frame.allocate<int32_t>(visits_maxima ? 0 : at_a_time * pooled);
    for (int64_t first = own.begin; first < own.end; first += at_a_time) {
      const int64_t images = std::min(at_a_time, own.end - first), at = first * pooled;
      const float* const dz = before_activation(f, g.dy + at, g.y + at, images * pooled, gradient);
      const float* const x = g.x + first * in;
      if (!visits_maxima) std::copy_n(g.index + at, images * pooled, copy);
      const int32_t* const index = visits_maxima ? g.index + at : copy;
      check_places(index, images * pooled, plane);
      const bool by_windows =
          windows_of_4 && kernels().pool2d.in_windows(index, images * s.out_channels, corners, g.outputs,
                                                      static_cast<int32_t>(s.out_w));
      for (int64_t n = 0; n < images; ++n) kernels().reduce.add(total, dz + n * pooled, pooled, total);
      if (visits_maxima)
        pooled_dots.add(dz, index, g.outputs, x, own_sums);
      else if (!by_windows)
        scatter(dz, index, images * s.out_channels, g.outputs, plane, planes);
      float* const dx = g.dx ? g.dx + first * in : nullptr;
      if (winograd) {
        Winograd::Gradients gradients{};
        gradients.dy = by_windows ? dz : planes, gradients.index = by_windows ? index : nullptr;
        gradients.dx = dx, gradients.x = x;
        gradients.sums = own_sums, gradients.outputs = {0, s.out_channels}, gradients.add = first > own.begin;
        if (dx) std::fill_n(dx, images * in, 0.0f);
        w.backward({0, images * w.patches()}, gradients);
      }
      if (dots) dots->add({0, images}, {0, dots->units()}, planes, x, own_sums);
      if (dots && dx)
        conv2d_backward_input(images_of(s, images), ConvAlgorithm::kDirect, planes, g.weight, dx);
    }
    for (int64_t o = 0; o < s.out_channels; ++o)
      bias_sums[i * s.out_channels + o] =
          static_cast<float>(kernels().reduce.sum(total + o * g.outputs, g.outputs));
  });
  for (int64_t i = 1; i < tasks; ++i)
    kernels().reduce.add(bias_sums, bias_sums + i * s.out_channels, s.out_channels, bias_sums);
  if (g.db) std::copy_n(bias_sums, s.out_channels, g.db);
  if (winograd) return w.finish(sums, tasks, g.dw);
  for (int64_t i = 1; i < tasks; ++i) kernels().reduce.add(sums, sums + i * size, weights, sums);
  std::copy_n(sums, weights, g.dw);
}

}  // namespace byhand::ops
