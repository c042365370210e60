#include "ops/conv2d_pool_act.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/scratch.h"
#include "cpu/activation.h"
#include "cpu/conv2d_method.h"
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

// Of the sums of gradients that a task makes.
int64_t images_of_a_sum(int64_t batch) { return std::clamp<int64_t>(ceil_div(batch, 4), 4, 16); }

double direct_ns(const Conv2dShape& s) {
  return fma_ns(direct_multiply_adds(s) * static_cast<double>(s.batch));
}

// Grad weight from the windows' maxima alone: no plane of gradients, most of which would be zeros. Where
// nobody wants grad input, which needs that plane.
class PooledDot {
 public:
  PooledDot(const Conv2dShape& s, ScratchFrame& frame)
      : s_(s),
        row_(s.in_w + s.padding.left + s.padding.right),
        plane_((s.in_h + s.padding.top + s.padding.bottom) * row_) {
    int64_t* const offset = frame.allocate<int64_t>(s.out_h * s.out_w);
    for (int64_t i = 0; i < s.out_h * s.out_w; ++i) offset[i] = i / s.out_w * row_ + i % s.out_w;
    offset_ = offset;
  }
  static bool takes(const Conv2dShape& s) {
    return s.stride.h == 1 && s.stride.w == 1 && s.dilation.h == 1 && s.dilation.w == 1 && s.groups == 1 &&
           s.kernel.h <= kMaxPooledTapRows && s.kernel.w <= kMaxPooledColumns;
  }

  // Adds those of one image.
  void add(const float* dz, const int32_t* index, int64_t outputs, const float* x, float* dw) const {
    ScratchFrame frame;
    // Of the last row of taps, whole vectors are read.
    const int64_t size = s_.in_channels * plane_ + std::max(kMaxPooledColumns, kernels().conv2d.lanes);
    float* const padded = frame.allocate<float>(size);
    std::fill_n(padded, size, 0.0f);
    for (int64_t c = 0; c < s_.in_channels; ++c)
      for (int64_t y = 0; y < s_.in_h; ++y)
        std::copy_n(x + (c * s_.in_h + y) * s_.in_w, s_.in_w,
                    padded + c * plane_ + (y + s_.padding.top) * row_ + s_.padding.left);
    ConvPooledDot d{};
    d.count = outputs, d.offset = offset_, d.x_row = row_;
    d.columns = static_cast<int>(s_.kernel.w), d.dw_row = s_.in_channels * s_.taps();
    const auto& kernel = kernels().conv2d.pooled_dot;
    for (int64_t o = 0; o < s_.out_channels; o += kPooledRows) {
      const int64_t rows = std::min<int64_t>(kPooledRows, s_.out_channels - o);
      d.dz = dz + o * outputs, d.place = index + o * outputs;
      for (int64_t c = 0; c < s_.in_channels; ++c) {
        d.x = padded + c * plane_, d.dw = dw + o * d.dw_row + c * s_.taps();
        kernel[rows - 1][s_.kernel.h - 1](d);
      }
    }
  }

 private:
  const Conv2dShape& s_;
  const int64_t row_, plane_;
  const int64_t* offset_;
};

// Throws where an index is not of a plane.
void check_places(const int32_t* index, int64_t count, int64_t plane) {
  const auto last = static_cast<uint32_t>(std::min<int64_t>(plane - 1, std::numeric_limits<int32_t>::max()));
  uint32_t signs = 0;  // the first bit: of what is negative, and of what is beyond the last
  for (int64_t i = 0; i < count; ++i) {
    const auto place = static_cast<uint32_t>(index[i]);
    signs |= place | (last - place);
  }
  if (signs >> 31 == 0) return;
  const int32_t wrong = *std::find_if(index, index + count, [=](int32_t i) { return i < 0 || i >= plane; });
  fail("indices must be of 0 to ", plane - 1, ", places in a plane of the convolution, got ", wrong);
}

// Of some images, on one thread.
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
  ScratchFrame frame;
  if (method == ConvMethod::kWinogradRows && pool.kernel.h == 2 && pool.kernel.w == 2) {
    const WinogradRows rows(s, weight, frame);
    return parallel_for(rows.tasks(), rows.ns(),
                        [&](int64_t i) { rows.forward_pooled(i, f, x, bias, y, index); });
  }
  const bool winograd = method == ConvMethod::kWinograd;
  const Winograd w = winograd ? Winograd(s, weight, frame, cache) : Winograd(s);
  const bool in_registers = winograd && w.pools() && pool.kernel.h == 2 && pool.kernel.w == 2;
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

// A fixed number of tasks have sums of their own, added up in order: the bits don't depend on the threads.
void conv2d_pool_act_backward(const Conv2dShape& s, ConvAlgorithm algorithm, Activation f,
                              const ConvPoolGradients& g) {
  const ConvDirection direction = g.dx ? ConvDirection::kInputGradient : ConvDirection::kWeightGradient;
  const bool winograd = conv_method(s, algorithm, direction) == ConvMethod::kWinograd;
  const int64_t in = s.in_channels * s.in_h * s.in_w, plane = s.out_h * s.out_w;
  const int64_t pooled = s.out_channels * g.outputs, weights = s.out_channels * s.group_in() * s.taps();
  std::fill_n(g.dw, weights, 0.0f);
  if (g.db) std::fill_n(g.db, s.out_channels, 0.0f);
  if (g.dx) std::fill_n(g.dx, s.batch * in, 0.0f);
  if (s.batch * pooled == 0) return;
  ScratchFrame frame;
  const Winograd w = winograd && g.dx ? Winograd(s, g.weight, frame, g.cache) : Winograd(s);
  const int64_t size = winograd ? w.size_of_sums() : weights;
  const int64_t tasks = std::min(ceil_div(s.batch, images_of_a_sum(s.batch)), most_sums(size));
  const int64_t at_a_time = images_at_a_time(s);
  const bool pooled_dot = !winograd && !g.dx && PooledDot::takes(s);
  const PooledDot dot(s, frame);
  float* const sums = frame.allocate<float>(tasks * size);
  float* const bias_sums = frame.allocate<float>(tasks * s.out_channels);
  const double ns = winograd ? w.ns(s.batch * w.patches()) : direct_ns(s);
  parallel_for(tasks, ns / static_cast<double>(tasks), [&](int64_t i) {
    const Range own = split(s.batch, tasks, i);
    float *const own_sums = sums + i * size, *const own_bias = bias_sums + i * s.out_channels;
    std::fill_n(own_bias, s.out_channels, 0.0f);
    if (!winograd) std::fill_n(own_sums, size, 0.0f);
    ScratchFrame own_frame;
    float* const planes = own_frame.allocate<float>(at_a_time * s.out_channels * plane);
    float* const gradient = own_frame.allocate<float>(at_a_time * pooled);
    float* const part = own_frame.allocate<float>(winograd ? 0 : weights);
    for (int64_t first = own.begin; first < own.end; first += at_a_time) {
      const int64_t images = std::min(at_a_time, own.end - first);
      const Conv2dShape some = images_of(s, images);
      const float* dz = g.dy + first * pooled;
      if (const auto activate_backward = backward_kernel(f)) {
        activate_backward(dz, g.y + first * pooled, images * pooled, gradient);
        dz = gradient;
      }
      for (int64_t n = 0; n < images; ++n)
        for (int64_t o = 0; o < s.out_channels; ++o)
          own_bias[o] += kernels().reduce.sum(dz + n * pooled + o * g.outputs, g.outputs);
      const int32_t* const index = g.index + first * pooled;
      check_places(index, images * pooled, plane);
      if (pooled_dot) {
        for (int64_t n = 0; n < images; ++n)
          dot.add(dz + n * pooled, index + n * pooled, g.outputs, g.x + (first + n) * in, own_sums);
        continue;
      }
      max_pool2d_backward(dz, index, images * s.out_channels, g.outputs, plane, planes);
      const float* const x = g.x + first * in;
      float* const dx = g.dx ? g.dx + first * in : nullptr;
      if (winograd) {
        w.backward({0, images * w.patches()},
                   {planes, dx, {0, s.in_channels}, own_sums, {0, s.out_channels}, first > own.begin, x});
        continue;
      }
      conv2d_backward_weight(some, ConvAlgorithm::kDirect, planes, x, part);
      kernels().optimizer.accumulate(weights, own_sums, part);
      if (dx) conv2d_backward_input(some, ConvAlgorithm::kDirect, planes, g.weight, dx);
    }
  });
  for (int64_t i = 1; i < tasks; ++i)
    kernels().optimizer.accumulate(s.out_channels, bias_sums, bias_sums + i * s.out_channels);
  if (g.db) std::copy_n(bias_sums, s.out_channels, g.db);
  if (winograd) return w.finish(sums, tasks, g.dw);
  for (int64_t i = 1; i < tasks; ++i) kernels().optimizer.accumulate(weights, sums, sums + i * size);
  std::copy_n(sums, weights, g.dw);
}

}  // namespace byhand::ops
