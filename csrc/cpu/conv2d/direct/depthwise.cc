#include "cpu/conv2d/direct/depthwise.h"

#include <algorithm>
#include <cstdlib>

#include "core/scratch.h"
#include "cpu/conv2d/direct/direct.h"
#include "cpu/conv2d/direct/staging.h"
#include "cpu/conv2d/ordered_sums.h"
#include "cpu/kernels/conv2d_correlate.h"
#include "cpu/kernels/conv2d_depthwise.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// The largest number of outputs per input channel. With more, a tile of several outputs shares its loads of
// x.
constexpr int64_t kMostOutputs = 2;

// The numbers of zeros before and behind a row or a column of the padded plane.
struct Margins {
  Margins(const TapAxis& axis, int64_t in, int64_t outputs) {
    const auto [first, last] = std::minmax_element(axis.tap, axis.tap + axis.count);
    before = std::max<int64_t>(0, -*first);
    behind = std::max<int64_t>(0, outputs + *last - in);
  }
  int64_t before, behind;
};

// Returns whether the padded plane fits into L2. The sizes may be too large for an int64_t.
bool fits(Pair source, Pair out, const TapAxis& rows, const TapAxis& columns) {
  const auto size = [](const TapAxis& axis, int64_t in, int64_t outputs) {
    const Margins m(axis, in, outputs);
    return static_cast<double>(m.before) + static_cast<double>(in) + static_cast<double>(m.behind);
  };
  return size(rows, source.h, out.h) * size(columns, source.w, out.w) <= static_cast<double>(kL2Floats);
}

// A copy of a plane with zeros around it. The zeros are written once, and then the plane is replaced as often
// as needed.
class PaddedPlane {
 public:
  PaddedPlane(Pair source, Pair out, const TapAxis& rows, const TapAxis& columns, ScratchFrame& frame)
      : source_(source), rows_(rows), columns_(columns) {
    const Margins vertical(rows, source.h, out.h), horizontal(columns, source.w, out.w);
    top_ = vertical.before, left_ = horizontal.before;
    stride_ = left_ + source.w + horizontal.behind;
    const int64_t count =
        stride_ * (top_ + source.h + vertical.behind) + kernels<DepthwiseKernels>().depthwise_lanes;
    values_ = frame.allocate<float>(count);
    std::fill_n(values_, count, 0.0f);
  }

  int64_t stride() const { return stride_; }
  int64_t offset(int64_t ty, int64_t tx) const {
    return (top_ + rows_.tap[ty]) * stride_ + left_ + columns_.tap[tx];
  }
  const float* replace(const float* plane) {
    kernels<CorrelateKernels>().copy_rows(plane, source_.w, source_.h, source_.w,
                                          values_ + top_ * stride_ + left_, stride_);
    return values_;
  }

 private:
  Pair source_;
  const TapAxis &rows_, &columns_;
  int64_t top_, left_, stride_;
  float* values_;
};

// Returns whether the taps lie side by side, in rising or in falling order.
bool side_by_side(const TapAxis& axis) {
  return axis.count > 0 && axis.stride == 1 &&
         std::abs(axis.tap[axis.count - 1] - axis.tap[0]) == axis.count - 1;
}

// The number of tasks for `planes` planes that take `ns` each: enough for the threads, with several planes
// per task.
int64_t task_count(int64_t planes, double ns) {
  constexpr int64_t kTasksPerThread = 4;
  constexpr double kTaskNs = 5000;
  const auto worth = static_cast<int64_t>(static_cast<double>(planes) * ns / kTaskNs);
  return std::min(planes, std::clamp<int64_t>(worth, 1, kTasksPerThread * num_threads()));
}

// Adds the dot products of one plane of dy and the windows of one plane of x, for all taps.
void add_dots(const PaddedPlane& padded, const float* x, Pair taps, DepthwiseDot d, float* sums) {
  const DepthwiseKernels& k = kernels<DepthwiseKernels>();
  d.sums_row = taps.w * k.depthwise_lanes;
  const int64_t column_blocks = ceil_div(taps.w, kMaxTapColumns);
  const Split column_ranges(taps.w, column_blocks);
  for (int64_t c = 0; c < column_blocks; ++c) {
    const Range columns = column_ranges[c];
    const int64_t width = columns.end - columns.begin;
    const int64_t row_blocks = ceil_div(taps.h, k.depthwise_tap_rows[width - 1]);
    const Split row_ranges(taps.h, row_blocks);
    for (int64_t r = 0; r < row_blocks; ++r) {
      const Range rows = row_ranges[r];
      d.x = x + padded.offset(rows.begin, columns.begin);
      d.sums = sums + rows.begin * d.sums_row + columns.begin * k.depthwise_lanes;
      k.depthwise_dot[width - 1][rows.end - rows.begin - 1](d);
    }
  }
}

}  // namespace

bool is_depthwise(const Correlation& c) {
  return c.channels == 1 && c.groups > 1 && c.outputs <= kMostOutputs && c.rows.count > 0 &&
         c.rows.stride == 1 && side_by_side(c.columns) && fits(c.source, c.out, c.rows, c.columns);
}

bool is_depthwise(const Conv2dShape& s) {
  if (s.group_in() != 1 || s.groups == 1 || s.group_out() > kMostOutputs || s.stride.h != 1 ||
      s.stride.w != 1)
    return false;
  ScratchFrame frame;
  const TapAxis rows = forward_rows(s, frame), columns = forward_columns(s, frame);
  return side_by_side(columns) && fits({s.in_h, s.in_w}, {s.out_h, s.out_w}, rows, columns);
}

void correlate_depthwise(const Correlation& c) {
  const auto compute = kernels<DepthwiseKernels>().depthwise;
  const int64_t taps = c.rows.count * c.columns.count, source = c.source.h * c.source.w,
                plane = c.out.h * c.out.w, planes = c.batch * c.groups;
  const double ns = fma_ns(static_cast<double>(c.outputs * taps) * static_cast<double>(plane));
  const int64_t tasks = task_count(planes, ns);
  // The numbers of the taps in rising order.
  const auto rising = [](const TapAxis& axis, int64_t t) {
    return axis.tap[axis.count - 1] < axis.tap[0] ? axis.count - 1 - t : t;
  };
  parallel_for(tasks, ns * static_cast<double>(planes) / static_cast<double>(tasks), [&](int64_t task) {
    const Range own = split(planes, tasks, task);
    ScratchFrame frame;
    PaddedPlane padded(c.source, c.out, c.rows, c.columns, frame);
    int64_t* const tap_row = frame.allocate<int64_t>(c.rows.count);
    for (int64_t ty = 0; ty < c.rows.count; ++ty)
      tap_row[ty] = padded.offset(rising(c.rows, ty), rising(c.columns, 0));
    float* const w = frame.allocate<float>(taps);
    DepthwisePlane p{};
    p.x_stride = padded.stride();
    p.tap_row = tap_row;
    p.tap_rows = c.rows.count, p.tap_columns = c.columns.count;
    p.w = w;
    p.rows = c.out.h, p.columns = c.out.w;
    for (int64_t i = own.begin; i < own.end; ++i) {
      const int64_t group = i % c.groups;
      p.x = padded.replace(c.x + i * source);
      for (int64_t o = 0; o < c.outputs; ++o) {
        const float* const from = c.weight + group * c.weight_group + o * c.weight_output;
        float* to = w;
        for (int64_t ty = 0; ty < c.rows.count; ++ty)
          for (int64_t tx = 0; tx < c.columns.count; ++tx)
            *to++ = from[c.row_offset[rising(c.rows, ty)] + c.column_offset[rising(c.columns, tx)]];
        p.bias = c.bias ? c.bias[group * c.outputs + o] : 0.0f;
        p.y = c.y + (i * c.outputs + o) * plane;
        compute(p);
      }
    }
  });
}

void weight_gradient_depthwise(const Conv2dShape& s, const float* dy, const float* x, float* dw) {
  const DepthwiseKernels& k = kernels<DepthwiseKernels>();
  const int64_t outputs = s.group_out(), taps = outputs * s.taps();  // of a group
  const int64_t size = s.groups * taps, sums = partial_sum_count(s, size), lanes = k.depthwise_lanes;
  const int64_t plane = s.out_h * s.out_w, source = s.in_h * s.in_w;
  ScratchFrame frame;
  float* const others = frame.allocate<float>((sums - 1) * size);  // the first partial sum is dw
  const TapAxis rows = forward_rows(s, frame), columns = forward_columns(s, frame);
  const double ns = direct_ns(s) / static_cast<double>(sums * s.groups);  // of a group and a partial sum
  const int64_t parts = task_count(s.groups, ns);
  parallel_for(sums * parts, ns * static_cast<double>(s.groups) / static_cast<double>(parts),
               [&](int64_t task) {
                 const Range images = split(s.batch, sums, task / parts),
                             groups = split(s.groups, parts, task % parts);
                 float* const own = task / parts ? others + (task / parts - 1) * size : dw;
                 ScratchFrame task_frame;
                 PaddedPlane padded({s.in_h, s.in_w}, {s.out_h, s.out_w}, rows, columns, task_frame);
                 float* const lane_sums = task_frame.allocate<float>(taps * lanes);
                 DepthwiseDot d{};
                 d.x_stride = padded.stride(),
                 d.tap_row = s.kernel.h > 1 ? padded.offset(1, 0) - padded.offset(0, 0) : 0;
                 d.rows = s.out_h, d.columns = s.out_w;
                 for (int64_t g = groups.begin; g < groups.end; ++g) {
                   std::fill_n(lane_sums, taps * lanes, 0.0f);
                   for (int64_t n = images.begin; n < images.end; ++n) {
                     const float* const x_plane = padded.replace(x + (n * s.groups + g) * source);
                     for (int64_t o = 0; o < outputs; ++o) {
                       d.dy = dy + ((n * s.groups + g) * outputs + o) * plane;
                       add_dots(padded, x_plane, s.kernel, d, lane_sums + o * s.taps() * lanes);
                     }
                   }
                   for (int64_t i = 0; i < taps; ++i) own[g * taps + i] = k.lane_sum(lane_sums + i * lanes);
                 }
               });
  add_in_order(others, sums - 1, size, size, dw);
}

}  // namespace byhand::cpu
