#include "ops/conv2d.h"

#include <algorithm>
#include <utility>

#include "core/scratch.h"
#include "cpu/conv2d_correlate.h"
#include "cpu/conv2d_dot.h"
#include "cpu/conv2d_method.h"
#include "cpu/conv2d_winograd.h"
#include "cpu/conv2d_winograd_rows.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"
#include "ops/gemm.h"

namespace byhand::ops {

using namespace cpu;

namespace {

// A 1 x 1 convolution is a matrix product an image and group: weight (O, C) times x (C, H W).
bool is_pointwise(const Conv2dShape& s) {
  return s.kernel.h == 1 && s.kernel.w == 1 && s.stride.h == 1 && s.stride.w == 1 && s.out_h == s.in_h &&
         s.out_w == s.in_w && s.padding.top == 0 && s.padding.left == 0;
}

struct Pointwise {
  int64_t in, out, plane, products;  // channels of a group, values of a channel, images times groups
  double ns;

  explicit Pointwise(const Conv2dShape& s)
      : in(s.group_in()),
        out(s.group_out()),
        plane(s.in_h * s.in_w),
        products(s.batch * s.groups),
        ns(fma_ns(static_cast<double>(in * out) * static_cast<double>(plane))) {}
  Matrix weight(const float* w, int64_t group) const { return {w + group * out * in, out, in, in, 1}; }
  Matrix x(const float* data, int64_t i) const { return {data + i * in * plane, in, plane, plane, 1}; }
  Matrix y(const float* data, int64_t i) const { return {data + i * out * plane, out, plane, plane, 1}; }
};

void pointwise(const Conv2dShape& s, const float* x, const float* weight, const float* bias, float* y) {
  const Pointwise p(s);
  parallel_for(p.products, p.ns, [&](int64_t i) {
    const int64_t group = i % s.groups;
    float* const to = y + i * p.out * p.plane;
    if (bias)
      for (int64_t o = 0; o < p.out; ++o) std::fill_n(to + o * p.plane, p.plane, bias[group * p.out + o]);
    gemm(1, p.weight(weight, group), p.x(x, i), bias ? 1.0f : 0.0f, p.y(to, 0), to);
  });
}

void pointwise_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx) {
  const Pointwise p(s);
  parallel_for(p.products, p.ns, [&](int64_t i) {
    gemm(1, p.weight(weight, i % s.groups).transposed(), p.y(dy, i), 0, {}, dx + i * p.in * p.plane);
  });
}

// Positions of a sum of weight gradients that a task makes of its own: so many that zeroing and adding up the
// sums is nothing beside them.
constexpr int64_t kPositionsOfASum = 2048;

// The number of sums of `size` weights, fixed by the shape: the bits don't depend on the threads.
int64_t sums_of(const Conv2dShape& s, int64_t size) {
  const int64_t positions = s.batch * s.out_h * s.out_w;
  return std::min(s.batch, std::clamp<int64_t>(positions / kPositionsOfASum, 1, most_sums(size)));
}

// dy x', (O, C), or its transpose x dy': the product that transposes the smaller operand is faster.
void pointwise_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw) {
  const Pointwise p(s);
  const int64_t size = p.out * p.in, sums = sums_of(s, s.groups * size), tasks = sums * s.groups;
  const bool turned = p.in > p.out;
  ScratchFrame frame;
  float* const all = frame.allocate<float>(tasks * size);
  const auto sum_up = [&](int64_t i) {
    const Range images = split(s.batch, sums, i / s.groups);
    float* const own = all + i * size;
    for (int64_t n = images.begin; n < images.end; ++n) {
      Matrix a = p.y(dy, n * s.groups + i % s.groups), b = p.x(x, n * s.groups + i % s.groups);
      if (turned) std::swap(a, b);
      gemm(1, a, b.transposed(), n > images.begin, {own, a.rows, b.rows, b.rows, 1}, own);
    }
  };
  const double ns = p.ns * static_cast<double>(p.products) / static_cast<double>(tasks);
  if (tasks >= num_threads())
    parallel_for(tasks, ns, sum_up);
  else  // the threads share each product
    for (int64_t i = 0; i < tasks; ++i) sum_up(i);
  for (int64_t i = 1; i < sums; ++i)
    kernels().reduce.add(all, all + i * s.groups * size, s.groups * size, all);
  if (!turned) std::copy_n(all, s.groups * size, dw);
  for (int64_t g = 0; turned && g < s.groups; ++g)
    for (int64_t o = 0; o < p.out; ++o)
      for (int64_t c = 0; c < p.in; ++c) dw[(g * p.out + o) * p.in + c] = all[(g * p.in + c) * p.out + o];
}

int64_t* multiples(int64_t count, int64_t step, ScratchFrame& frame) {
  int64_t* const table = frame.allocate<int64_t>(count);
  for (int64_t i = 0; i < count; ++i) table[i] = i * step;
  return table;
}

// Grad input along one axis, for the inputs phase + stride * j: output o reads input
// o * stride + k * dilation - padding, so input j of the phase gets tap k of output
// j + (phase + padding - k * dilation) / stride, where that is a whole number.
struct PhaseAxis {
  TapAxis taps;
  int64_t* offset;  // of each tap's weight, in steps of `step`
  int64_t size;     // inputs of the phase
};

PhaseAxis phase_axis(int64_t phase, int64_t in, int64_t kernel, int64_t stride, int64_t dilation,
                     int64_t padding, int64_t step, ScratchFrame& frame) {
  int64_t* const tap = frame.allocate<int64_t>(kernel);
  int64_t* const offset = frame.allocate<int64_t>(kernel);
  int64_t count = 0;
  for (int64_t k = 0; k < kernel; ++k) {
    const int64_t distance = phase + padding - k * dilation;
    if (distance % stride != 0) continue;
    tap[count] = distance / stride;
    offset[count++] = k * step;
  }
  return {{count, tap, 1}, offset, ceil_div(in - phase, stride)};
}

void backward_input_phase(const Conv2dShape& s, Pair phase, const float* dy, const float* weight, float* dx) {
  ScratchFrame frame;
  const PhaseAxis rows =
      phase_axis(phase.h, s.in_h, s.kernel.h, s.stride.h, s.dilation.h, s.padding.top, s.kernel.w, frame);
  const PhaseAxis columns =
      phase_axis(phase.w, s.in_w, s.kernel.w, s.stride.w, s.dilation.w, s.padding.left, 1, frame);
  if (rows.taps.count == 0 || columns.taps.count == 0) return;  // no output reads these: dx is zero there

  const bool dense = s.stride.h == 1 && s.stride.w == 1;
  const int64_t planes = s.batch * s.in_channels, plane = rows.size * columns.size;
  Correlation c{};
  c.batch = s.batch, c.groups = s.groups, c.channels = s.group_out(), c.outputs = s.group_in();
  c.source = {s.out_h, s.out_w}, c.out = {rows.size, columns.size};
  c.rows = rows.taps, c.columns = columns.taps;
  c.x = dy;
  c.weight = weight;
  c.weight_channel = s.group_in() * s.taps(), c.weight_output = s.taps();
  c.weight_group = s.group_out() * c.weight_channel;
  c.row_offset = rows.offset, c.column_offset = columns.offset;
  c.y = dense ? dx : frame.allocate<float>(planes * plane);
  correlate(c);
  if (dense) return;
  parallel_for(planes, memory_ns(static_cast<double>(plane) * 8), [&](int64_t i) {
    for (int64_t y = 0; y < rows.size; ++y)
      for (int64_t x = 0; x < columns.size; ++x)
        dx[(i * s.in_h + phase.h + y * s.stride.h) * s.in_w + phase.w + x * s.stride.w] =
            c.y[i * plane + y * columns.size + x];
  });
}

// Whether transformed weights stay in the caches while patches pass.
bool weights_stay(const Winograd& w) { return w.size_of_sums() <= kSharedFloats / 2; }

void winograd_forward(const Conv2dShape& s, const float* x, const float* weight, const float* bias,
                      float* y) {
  const Winograd untransformed(s);
  if (!weights_stay(untransformed)) return untransformed.forward_by_channels(x, weight, bias, y);
  ScratchFrame frame;
  const Winograd w(s, weight, frame);
  constexpr int64_t kTasks = 4;  // where there are patches enough
  const int64_t patches = s.batch * w.patches();
  const int64_t block =
      std::min(w.block(), std::max<int64_t>(kMaxWinogradColumns, ceil_div(patches, kTasks)));
  const int64_t tasks = ceil_div(patches, block);
  parallel_for(tasks, w.ns(block), [&](int64_t i) { w.forward(split(patches, tasks, i), x, bias, y); });
}

void winograd_rows_forward(const Conv2dShape& s, const float* x, const float* weight, const float* bias,
                           float* y) {
  ScratchFrame frame;
  const WinogradRows w(s, weight, frame);
  parallel_for(w.tasks(), w.ns(), [&](int64_t i) { w.forward(i, x, bias, y); });
}

// A task has whole images, whose patches overlap.
void winograd_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx) {
  const int64_t image = s.in_channels * s.in_h * s.in_w;
  const Winograd untransformed(s);
  if (!weights_stay(untransformed)) {
    std::fill_n(dx, s.batch * image, 0.0f);
    return untransformed.backward_input_by_channels(dy, weight, dx);
  }
  ScratchFrame frame;
  const Winograd w(s, weight, frame);
  constexpr int64_t kTasks = 8;  // where there are as many images
  const int64_t fitting = std::max<int64_t>(1, w.block() / w.patches());
  const int64_t groups = ceil_div(s.batch, std::min(fitting, ceil_div(s.batch, kTasks)));
  parallel_for(groups, w.ns(ceil_div(s.batch, groups) * w.patches()), [&](int64_t i) {
    const Range own = split(s.batch, groups, i);
    std::fill_n(dx + own.begin * image, (own.end - own.begin) * image, 0.0f);
    Winograd::Gradients g{};
    g.dy = dy, g.dx = dx, g.outputs = {0, s.out_channels};
    w.backward({own.begin * w.patches(), own.end * w.patches()}, g);
  });
}

// A fixed number of tasks have sums of their own, added up in order: the bits don't depend on the threads.
void winograd_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw) {
  constexpr int64_t kOutputs = 64;
  const Winograd w(s);
  const int64_t patches = s.batch * w.patches(), size = w.size_of_sums();
  if (patches <= w.block()) return w.backward_weight_by_channels(dy, x, dw);
  const int64_t sums = std::clamp<int64_t>(patches / w.block(), 1, most_sums(size));
  const int64_t parts = ceil_div(s.out_channels, kOutputs);
  ScratchFrame frame;
  float* const all = frame.allocate<float>(sums * size);
  parallel_for(sums * parts, w.ns(ceil_div(patches, sums)) / static_cast<double>(parts), [&](int64_t i) {
    Winograd::Gradients g{};
    g.dy = dy, g.x = x, g.sums = all + i / parts * size, g.outputs = split(s.out_channels, parts, i % parts);
    w.backward(split(patches, sums, i / parts), g);
  });
  w.finish(all, sums, dw);
}

// The same of the direct algorithm, whose sums need no transformation.
void direct_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw) {
  constexpr int64_t kTasksPerThread = 4;
  ScratchFrame frame;
  const WeightDots dots(s, frame);
  const int64_t size = s.out_channels * s.group_in() * s.taps(), sums = sums_of(s, size);
  const int64_t parts = std::min(dots.units(), ceil_div(kTasksPerThread * num_threads(), sums));
  float* const all = frame.allocate<float>((sums - 1) * size);  // but the first, which is dw
  std::fill_n(dw, size, 0.0f);
  std::fill_n(all, (sums - 1) * size, 0.0f);
  parallel_for(sums * parts, direct_ns(s) / static_cast<double>(sums * parts), [&](int64_t i) {
    const int64_t sum = i / parts;
    dots.add(split(s.batch, sums, sum), split(dots.units(), parts, i % parts), dy, x,
             sum ? all + (sum - 1) * size : dw);
  });
  for (int64_t i = 1; i < sums; ++i) kernels().reduce.add(dw, all + (i - 1) * size, size, dw);
}

}  // namespace

void conv2d(const Conv2dShape& s, ConvAlgorithm algorithm, const float* x, const float* weight,
            const float* bias, float* y) {
  const ConvMethod method = conv_method(s, algorithm, ConvDirection::kForward);
  if (s.batch * s.out_channels * s.out_h * s.out_w == 0) return;
  if (method == ConvMethod::kWinogradRows) return winograd_rows_forward(s, x, weight, bias, y);
  if (method == ConvMethod::kWinograd) return winograd_forward(s, x, weight, bias, y);
  if (is_pointwise(s)) return pointwise(s, x, weight, bias, y);
  ScratchFrame frame;
  Correlation c{};
  c.batch = s.batch, c.groups = s.groups, c.channels = s.group_in(), c.outputs = s.group_out();
  c.source = {s.in_h, s.in_w}, c.out = {s.out_h, s.out_w};
  c.rows = forward_rows(s, frame), c.columns = forward_columns(s, frame);
  c.x = x;
  c.weight = weight;
  c.weight_channel = s.taps(), c.weight_output = s.group_in() * s.taps();
  c.weight_group = s.group_out() * c.weight_output;
  c.row_offset = multiples(s.kernel.h, s.kernel.w, frame), c.column_offset = multiples(s.kernel.w, 1, frame);
  c.bias = bias;
  c.y = y;
  correlate(c);
}

void conv2d_backward_input(const Conv2dShape& s, ConvAlgorithm algorithm, const float* dy,
                           const float* weight, float* dx) {
  const ConvMethod method = conv_method(s, algorithm, ConvDirection::kInputGradient);
  const int64_t size = s.batch * s.in_channels * s.in_h * s.in_w;
  if (size == 0) return;
  if (method == ConvMethod::kWinograd) return winograd_backward_input(s, dy, weight, dx);
  if (is_pointwise(s)) return pointwise_backward_input(s, dy, weight, dx);
  std::fill_n(dx, size, 0.0f);
  if (s.out_channels == 0) return;
  for (int64_t h = 0; h < std::min(s.stride.h, s.in_h); ++h)
    for (int64_t w = 0; w < std::min(s.stride.w, s.in_w); ++w)
      backward_input_phase(s, {h, w}, dy, weight, dx);
}

void conv2d_backward_bias(const float* dy, int64_t batch, int64_t channels, int64_t plane, float* db) {
  if (batch * plane == 0) {
    std::fill_n(db, channels, 0.0f);
    return;
  }
  const auto sum = kernels().reduce.sum;
  parallel_for(channels, memory_ns(static_cast<double>(batch * plane) * 4), [&](int64_t c) {
    double total = 0;
    for (int64_t n = 0; n < batch; ++n) total += sum(dy + (n * channels + c) * plane, plane);
    db[c] = static_cast<float>(total);
  });
}

void conv2d_backward_weight(const Conv2dShape& s, ConvAlgorithm algorithm, const float* dy, const float* x,
                            float* dw) {
  const ConvMethod method = conv_method(s, algorithm, ConvDirection::kWeightGradient);
  const int64_t size = s.out_channels * s.group_in() * s.taps();
  if (size == 0 || s.batch * s.out_h * s.out_w == 0) {
    std::fill_n(dw, size, 0.0f);
    return;
  }
  if (method == ConvMethod::kWinograd) return winograd_backward_weight(s, dy, x, dw);
  if (is_pointwise(s)) return pointwise_backward_weight(s, dy, x, dw);
  direct_backward_weight(s, dy, x, dw);
}

}  // namespace byhand::ops
