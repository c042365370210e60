#include "cpu/conv2d/direct/direct.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/conv2d/direct/correlate.h"
#include "cpu/conv2d/direct/cost.h"
#include "cpu/conv2d/direct/depthwise.h"
#include "cpu/conv2d/direct/weight_gradient.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/parallel_ranges.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// The largest number of phases of a row whose values are interleaved by vectors.
constexpr int kMostInterleaved = 4;

int64_t* multiples(int64_t count, int64_t step, ScratchFrame& frame) {
  int64_t* const table = frame.allocate<int64_t>(count);
  for (int64_t i = 0; i < count; ++i) table[i] = i * step;
  return table;
}

void correlate(Correlation c) {
  if (is_depthwise(c)) return correlate_depthwise(c);
  c.inner_rows = inner_taps(c.rows, c.out.h, c.source.h);
  c.inner_columns = inner_taps(c.columns, c.out.w, c.source.w);
  const DirectWork work{c.groups,     c.channels,
                        c.outputs,    {c.rows.count, c.columns.count},
                        c.out,        {c.rows.stride, c.columns.stride},
                        c.inner_rows, c.inner_columns};
  if (c.channels > 0 && correlates_by_channels(work)) return correlate_by_channels(c);
  correlate_by_rows(c);
}

// Along one axis, the inputs at the positions f, f + stride, f + 2 * stride, ... get their gradients through
// the same taps. These inputs form phase f, with f from 0 to stride - 1. Input j of the phase is at position
// f + j * stride. In the forward pass, output o reads position o * stride + k * dilation - padding through
// tap k. So input j of the phase gets its gradient through tap k from output j + (f + padding - k * dilation)
// / stride, if that is a whole number. With 3 taps, stride 2 and no padding, phase 0 has taps 0 and 2, and
// phase 1 has tap 1.
struct PhaseAxis {
  TapAxis taps;     // the taps that reach this phase
  int64_t* offset;  // for each of these taps, the offset of its weight in the filter
  int64_t size;     // the number of inputs in the phase
};

// `step` is the distance in memory of the weights of two neighbouring taps.
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

// Computes dx at the inputs of one phase per axis, in contiguous planes: a correlation of dy with the taps
// that reach these inputs. Returns false if there are no such taps. Then the gradients are zero, and nothing
// is computed.
bool backward_input_phase(const Conv2dShape& s, Pair phase, const float* dy, const float* weight, float* dx) {
  ScratchFrame frame;
  const PhaseAxis rows =
      phase_axis(phase.h, s.in_h, s.kernel.h, s.stride.h, s.dilation.h, s.padding.top, s.kernel.w, frame);
  const PhaseAxis columns =
      phase_axis(phase.w, s.in_w, s.kernel.w, s.stride.w, s.dilation.w, s.padding.left, 1, frame);
  if (rows.taps.count == 0 || columns.taps.count == 0) return false;
  Correlation c{};
  c.batch = s.batch, c.groups = s.groups, c.channels = s.group_out(), c.outputs = s.group_in();
  c.source = {s.out_h, s.out_w}, c.out = {rows.size, columns.size};
  c.rows = rows.taps, c.columns = columns.taps;
  c.x = dy;
  c.weight = weight;
  c.weight_channel = s.group_in() * s.taps(), c.weight_output = s.taps();
  c.weight_group = s.group_out() * c.weight_channel;
  c.row_offset = rows.offset, c.column_offset = columns.offset;
  c.y = dx;
  correlate(c);
  return true;
}

// to[x * kPhases + k] = phase[k][x] for x < count. The compiler uses vectors here.
template <int kPhases>
void interleave(const float* const (&phase)[kMostInterleaved], int64_t count, float* to) {
  for (int64_t x = 0; x < count; ++x)
    for (int k = 0; k < kPhases; ++k) to[x * kPhases + k] = phase[k][x];
}

// [phases - 1]
constexpr decltype(&interleave<1>) kInterleave[kMostInterleaved] = {interleave<1>, interleave<2>,
                                                                    interleave<3>, interleave<4>};

// Computes the rows of dx that belong to one phase, unless they are zero. Each phase of the columns gets
// planes of its own. Then their values are put side by side.
void backward_input_rows(const Conv2dShape& s, int64_t phase, const float* dy, const float* weight,
                         float* dx) {
  struct Columns {
    int64_t phase, count;
    float* planes;
  };
  const int64_t rows = ceil_div(s.in_h - phase, s.stride.h), planes = s.batch * s.in_channels;
  ScratchFrame frame;
  Columns* const all = frame.allocate<Columns>(std::min(s.stride.w, s.in_w));
  int64_t phases = 0;
  for (int64_t w = 0; w < std::min(s.stride.w, s.in_w); ++w) {
    const int64_t count = ceil_div(s.in_w - w, s.stride.w);
    all[phases] = {w, count, frame.allocate<float>(planes * rows * count)};
    if (backward_input_phase(s, {phase, w}, dy, weight, all[phases].planes)) ++phases;
  }
  if (phases == 0) return;
  // The number of columns of each phase that are interleaved.
  const int64_t whole = phases == s.stride.w && phases <= kMostInterleaved ? s.in_w / s.stride.w : 0;
  const int64_t step = s.stride.w, row_step = s.stride.h * s.in_w;
  parallel_for(planes, memory_ns(static_cast<double>(rows * s.in_w) * 8), [&](int64_t i) {
    float* const to = dx + (i * s.in_h + phase) * s.in_w;
    for (int64_t y = 0; whole > 0 && y < rows; ++y) {
      const float* from[kMostInterleaved] = {};
      for (int64_t k = 0; k < phases; ++k) from[k] = all[k].planes + (i * rows + y) * all[k].count;
      kInterleave[phases - 1](from, whole, to + y * row_step);
    }
    for (int64_t k = 0; k < phases; ++k) {
      const Columns c = all[k];
      for (int64_t y = 0; y < rows; ++y)
        for (int64_t x = whole; x < c.count; ++x)
          to[y * row_step + c.phase + x * step] = c.planes[(i * rows + y) * c.count + x];
    }
  });
}

}  // namespace

double direct_ns(const Conv2dShape& s) {
  const DirectWork w = forward_work(s);
  return fma_ns(static_cast<double>(s.batch) * static_cast<double>(s.out_channels * s.group_in()) *
                static_cast<double>(w.inner_rows.pairs) * static_cast<double>(w.inner_columns.pairs));
}

void direct_forward(const Conv2dShape& s, const float* x, const float* weight, const float* bias, float* y) {
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

void direct_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx) {
  const bool dense = s.stride.h == 1 && s.stride.w == 1;
  // If the stride is longer than the filter, or with a dilation, there may be phases that no tap reaches.
  // Their gradients are zero.
  const bool every_phase_has_taps = dense || (s.dilation.h == 1 && s.dilation.w == 1 &&
                                              s.stride.h <= s.kernel.h && s.stride.w <= s.kernel.w);
  if (s.out_channels == 0 || !every_phase_has_taps)
    parallel_ranges(s.batch * s.in_channels * s.in_h * s.in_w, memory_ns(sizeof(float)),
                    [=](int64_t begin, int64_t end) { std::fill_n(dx + begin, end - begin, 0.0f); });
  if (s.out_channels == 0) return;
  if (dense) {
    backward_input_phase(s, {0, 0}, dy, weight, dx);
    return;
  }
  // All phases of the columns, for one phase of the rows, are kept for as many images as fit into
  // kPhaseFloats, and at least for one.
  constexpr int64_t kPhaseFloats = 16 * 1024 * 1024 / 4;
  const int64_t image = s.in_channels * ceil_div(s.in_h, s.stride.h) * s.in_w;
  const int64_t blocks = ceil_div(s.batch, std::max<int64_t>(1, kPhaseFloats / std::max<int64_t>(image, 1)));
  for (int64_t i = 0; i < blocks; ++i) {
    const Range images = split(s.batch, blocks, i);
    Conv2dShape part = s;
    part.batch = images.end - images.begin;
    const float* const from = dy + images.begin * s.out_channels * s.out_h * s.out_w;
    float* const to = dx + images.begin * s.in_channels * s.in_h * s.in_w;
    for (int64_t h = 0; h < std::min(s.stride.h, s.in_h); ++h) backward_input_rows(part, h, from, weight, to);
  }
}

void direct_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw) {
  if (is_depthwise(s)) return weight_gradient_depthwise(s, dy, x, dw);
  if (has_weight_gradient_by_channels(forward_work(s))) return weight_gradient_by_channels(s, dy, x, dw);
  weight_gradient_by_rows(s, dy, x, dw);
}

}  // namespace byhand::cpu
