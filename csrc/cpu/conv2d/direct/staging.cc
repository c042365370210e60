#include "cpu/conv2d/direct/staging.h"

#include <algorithm>
#include <cstdlib>

#include "cpu/kernels/conv2d_correlate.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

TapAxis forward_axis(int64_t kernel, int64_t stride, int64_t dilation, int64_t padding, ScratchFrame& frame) {
  int64_t* const tap = frame.allocate<int64_t>(kernel);
  for (int64_t t = 0; t < kernel; ++t) tap[t] = t * dilation - padding;
  return {kernel, tap, stride};
}

}  // namespace

bool slides(const TapAxis& axis) {
  return axis.count > 1 && std::abs(axis.tap[1] - axis.tap[0]) == axis.stride;
}

Range inside(int64_t begin, int64_t stride, int64_t size, int64_t count) {
  const auto steps = [=](int64_t distance) { return stride == 1 ? distance : ceil_div(distance, stride); };
  const int64_t first = begin >= 0 ? 0 : std::min(count, steps(-begin));
  const int64_t beyond = begin >= size ? 0 : std::min(count, steps(size - begin));
  return {first, std::max(first, beyond)};
}

Run run_inside(const TapAxis& axis, int64_t first, int64_t outputs, int64_t size) {
  Run run{{first, outputs}, {0, 0}};
  for (int64_t t = 0; t < axis.count; ++t) {
    const Range r = inside(axis.tap[t], axis.stride, size, outputs);
    if (r.begin == r.end || first >= r.end) continue;
    // The run ends where the outputs of any tap begin or end.
    run.outputs.end = std::min(run.outputs.end, first < r.begin ? r.begin : r.end);
    if (first < r.begin) continue;
    if (run.taps.end == 0) run.taps.begin = t;
    run.taps.end = t + 1;
  }
  return run;
}

TapAxis forward_rows(const Conv2dShape& s, ScratchFrame& frame) {
  return forward_axis(s.kernel.h, s.stride.h, s.dilation.h, s.padding.top, frame);
}

TapAxis forward_columns(const Conv2dShape& s, ScratchFrame& frame) {
  return forward_axis(s.kernel.w, s.stride.w, s.dilation.w, s.padding.left, frame);
}

StagedAxis::StagedAxis(const TapAxis& t, int64_t n, ScratchFrame& frame)
    : taps(t),
      origin(frame.allocate<int64_t>(t.count)),
      plane(frame.allocate<int64_t>(t.count)),
      shift(frame.allocate<int64_t>(t.count)) {
  set_outputs(n);
}

void StagedAxis::set_outputs(int64_t n) {
  outputs = n;
  // Taps that differ by a multiple of the stride share a plane, which begins at the smallest of them.
  planes = 0;
  for (int64_t t = 0; t < taps.count; ++t) {
    int64_t p = 0;
    while (p < planes && (origin[p] - taps.tap[t]) % taps.stride != 0) ++p;
    if (p == planes) origin[planes++] = taps.tap[t];
    origin[p] = std::min(origin[p], taps.tap[t]);
    plane[t] = p;
  }
  int64_t reach = 0;
  for (int64_t t = 0; t < taps.count; ++t) {
    shift[t] = (taps.tap[t] - origin[plane[t]]) / taps.stride;
    reach = std::max(reach, shift[t]);
  }
  extent = n + reach;
  // Taps that are far apart, because of a dilation, would need planes with many unused values. Then each tap
  // gets a plane of its own.
  if (static_cast<double>(planes) * static_cast<double>(extent) >
      static_cast<double>(taps.count) * static_cast<double>(n)) {
    planes = taps.count;
    extent = n;
    for (int64_t t = 0; t < taps.count; ++t) origin[t] = taps.tap[t], plane[t] = t, shift[t] = 0;
  }
}

Staging::Staging(Pair source, Pair band, const TapAxis& rows, const TapAxis& columns, ScratchFrame& frame)
    : source_(source), rows_(rows, band.h, frame), columns_(columns, band.w, frame) {}

void Staging::fit(int64_t channels, int64_t floats) {
  while (band_rows() > 1 && channels * channel_size() > floats) rows_.set_outputs(ceil_div(band_rows(), 2));
}

void Staging::stage_plane(const float* source, int64_t y, int64_t x, float* to) const {
  const CorrelateKernels& k = kernels<CorrelateKernels>();
  const int64_t columns = columns_.extent, y_stride = rows_.taps.stride, x_stride = columns_.taps.stride;
  const Range rows = inside(y, y_stride, source_.h, rows_.extent),
              row = inside(x, x_stride, source_.w, columns);
  const int64_t height = rows.end - rows.begin, width = row.end - row.begin;
  // One fill of the whole plane is faster than a fill for each end of a row.
  if (height < rows_.extent || width < columns) std::fill_n(to, rows_.extent * columns, 0.0f);
  if (height == 0 || width == 0) return;
  const float* from = source + (y + rows.begin * y_stride) * source_.w + x + row.begin * x_stride;
  to += rows.begin * columns + row.begin;
  if (x_stride == 1) return k.copy_rows(from, y_stride * source_.w, height, width, to, columns);
  for (int64_t r = 0; r < height; ++r)
    k.copy_strided(from + r * y_stride * source_.w, x_stride, width, to + r * columns);
}

void Staging::stage(const float* source, int64_t channels, int64_t first_row, float* to) const {
  for (int64_t c = 0; c < channels; ++c, source += source_.h * source_.w)
    for (int64_t py = 0; py < rows_.planes; ++py)
      for (int64_t px = 0; px < columns_.planes; ++px, to += rows_.extent * columns_.extent)
        stage_plane(source, rows_.origin[py] + first_row * rows_.taps.stride, columns_.origin[px], to);
}

}  // namespace byhand::cpu
