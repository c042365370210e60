#include "cpu/conv2d/direct/cost.h"

#include <algorithm>

#include "cpu/conv2d/direct/correlate.h"
#include "cpu/conv2d/direct/panels.h"
#include "cpu/conv2d/direct/weight_gradient.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// All costs are counted in multiply-adds. Every other operation counts as the number of multiply-adds that
// take as long. The factors are measured (section 6 of docs/convolution.md).

// The cost of copying a row of inputs, and of each of its values without and with a stride.
constexpr double kCopiedRow = 100, kCopiedValue = 2, kStridedValue = 25;
// A tile takes as long as if it had this number of additional terms for each lane of its vectors.
constexpr double kLaneTerms = 0.375;
// The cost of a multiply-add in a tile of one vector that reads no windows of taps. It needs a load for each
// multiply-add.
constexpr double kNarrowTile = 1.25;
// The cost of a multiply-add of the weight gradient by rows. It includes adding up the lanes.
constexpr double kWeightDot = 1.1;

double product(int64_t a, int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

// The shares of the pairs of an output and a tap that read inside the image, along the rows, and along both
// axes.
double row_share(const DirectWork& w) {
  return static_cast<double>(w.inner_rows.pairs) / std::max(product(w.out.h, w.taps.h), 1.0);
}
double share(const DirectWork& w) {
  return row_share(w) * static_cast<double>(w.inner_columns.pairs) /
         std::max(product(w.out.w, w.taps.w), 1.0);
}

// The terms of an output, with those that stand for the time of a tile. `term` is the cost of a term, which
// is below 1 if the method leaves terms outside the image out.
double terms(const DirectWork& w, int64_t lanes, double term) {
  return product(w.channels, w.taps.h * w.taps.w) * term + kLaneTerms * static_cast<double>(lanes);
}

// The cost of copying the inputs of an image, with all phases.
double copies(const DirectWork& w, Pair phases, Pair phase, double per_value) {
  return product(w.groups * w.channels, phases.h * phases.w) * static_cast<double>(phase.h) *
         (kCopiedRow + per_value * static_cast<double>(phase.w));
}
double staging(const DirectWork& w) {
  if (w.stride.h == 1 && w.stride.w == 1)
    return copies(w, {1, 1}, {w.out.h + w.taps.h - 1, w.out.w + w.taps.w - 1}, kCopiedValue);
  return copies(w, {std::min(w.taps.h, w.stride.h), std::min(w.taps.w, w.stride.w)}, w.out, kStridedValue);
}

// The cost of a plane of outputs, for each output channel and term. Where a filter begins to reach beyond the
// first or last row of the image, a tile ends (correlate_by_rows.cc).
double plane_by_rows(const DirectWork& w, int64_t lanes, int64_t wide_lanes) {
  const int64_t ends = w.inside() || w.taps.h == 1 ? 0 : 2;
  const double outputs = product(w.out.h * ceil_div(w.out.w, lanes) + ends, lanes);
  return lanes < wide_lanes ? narrow_multiply_add() * outputs : outputs;
}

// A tile of one or two output channels waits for its loads and takes as long as a tile of three.
double correlation_by_rows(const DirectWork& w) {
  const int64_t lanes = tiles_for_rows(w.out.w).lanes, widest = kernels<CorrelateKernels>().wide.lanes;
  return static_cast<double>(w.groups) * terms(w, lanes, row_share(w)) *
             std::max(static_cast<double>(w.outputs), 3.0) * plane_by_rows(w, lanes, widest) +
         staging(w);
}

// A tile with r output channels and c terms makes r c multiply-adds and r + c loads.
double weight_gradient_by_rows(const DirectWork& w) {
  const WeightGradientKernels& k = kernels<WeightGradientKernels>();
  const int64_t lanes = dots_for_rows(w.out.w).lanes, tiles = ceil_div(w.outputs, k.rows);
  // The cost of a load. Longer vectors cross the border of a cache line more often. 3.25 is measured.
  const double load = lanes == 16 ? 3.25 : static_cast<double>(lanes) / 4;
  const double rows = static_cast<double>(w.outputs) / static_cast<double>(std::max<int64_t>(tiles, 1));
  const double tile = std::max(rows, load * (rows + k.columns) / k.columns);
  const double terms = product(w.groups * w.channels, w.taps.h * w.taps.w) * row_share(w);
  return kWeightDot * terms * static_cast<double>(tiles) * tile * plane_by_rows(w, lanes, k.wide_dots.lanes) +
         staging(w);
}

// `term` is the cost of a term, relative to one that lies inside the image and in a tile with enough sums.
// `narrow_tile` is that of a multiply-add in a tile of one vector.
double by_channels(const DirectWork& w, double term, double narrow_tile) {
  const Panels p(w.outputs);
  const int64_t narrow = p.has_narrow() ? p.lanes : 0;
  const double padded = static_cast<double>(p.padded - narrow) + narrow_tile * static_cast<double>(narrow);
  // Transposing an output, or its gradient, takes as long as a multiply-add for each lane.
  const double transposing = product(p.lanes, w.outputs);
  return product(w.groups * w.out.h, w.out.w) * (terms(w, p.lanes, term) * padded + transposing);
}

// The cost of a term in a tile with this number of rows.
double waiting(const DirectWork& w, double rows) {
  const Panels p(w.outputs);
  return std::max(1.0, static_cast<double>(kLeastSums) / (rows * static_cast<double>(p.width / p.lanes)));
}

// The outputs of a tile have the same taps inside the image. There may be only a few such outputs in the
// images of a task.
double correlation_by_channels(const DirectWork& w) {
  constexpr int64_t kImages = 4;  // a guess, because the batch must not change the method
  const int64_t plane = w.out.h * w.out.w, images = std::clamp<int64_t>(kTaskOutputs / plane, 1, kImages);
  const double rows = product(images, plane) / product(w.inner_rows.runs, w.inner_columns.runs);
  const bool even = std::max(w.inner_rows.line, w.inner_columns.line) >= kLeastLine;
  return by_channels(w, waiting(w, rows) * share(w), even ? 1 : kNarrowTile);
}

// With kTapChannels and more channels, a padded image is not copied, and a tile has a row for each channel.
double weight_gradient_by_channels(const DirectWork& w) {
  if (w.inside()) return by_channels(w, 1, kNarrowTile);
  if (w.channels >= kTapChannels)
    return by_channels(w, waiting(w, static_cast<double>(w.channels)) * share(w), kNarrowTile);
  const Pair source{(w.out.h - 1) * w.stride.h + w.taps.h, (w.out.w - 1) * w.stride.w + w.taps.w};
  return by_channels(w, 1, kNarrowTile) + copies(w, {1, 1}, source, kCopiedValue);
}

// Returns whether the method by channels needs little memory. Rounding the output channels up to whole
// vectors must at most double the weights, unless the packed weights have at most 16 MiB. A row of sums, or
// of packed gradients, must fit into L2.
bool fits_by_channels(const DirectWork& w) {
  constexpr double kMostWeights = 4 * 1024 * 1024;
  const int64_t padded = Panels(w.outputs).padded;
  const double weights = product(w.groups * padded, w.channels) * product(w.taps.h, w.taps.w);
  return (padded <= 2 * w.outputs || weights <= kMostWeights) && padded * w.out.w <= kL2Floats;
}

// The maximum number of terms in the tables of one channel of a correlation, or in those of the weight
// gradient. They take 4 MiB. A correlation may have tables of windows, too, with half as many
// entries, or about 64 per table if that is more.
constexpr double kMostTerms = 4 * 1024 * 1024 / sizeof(ChannelTerm);

}  // namespace

InnerTaps inner_taps(const TapAxis& axis, int64_t outputs, int64_t size) {
  InnerTaps inner{0, 0, 0};
  for (int64_t i = 0; i < outputs; ++inner.runs) {
    const Run run = run_inside(axis, i, outputs, size);
    const int64_t length = run.outputs.end - i, taps = run.taps.end - run.taps.begin;
    inner.pairs += length * taps;
    if (taps > 1 && slides(axis)) inner.line = std::max(inner.line, length);
    i = run.outputs.end;
  }
  return inner;
}

DirectWork forward_work(const Conv2dShape& s) {
  ScratchFrame frame;
  return {s.groups,
          s.group_in(),
          s.group_out(),
          s.kernel,
          {s.out_h, s.out_w},
          s.stride,
          inner_taps(forward_rows(s, frame), s.out_h, s.in_h),
          inner_taps(forward_columns(s, frame), s.out_w, s.in_w)};
}

DirectWork input_gradient_work(const Conv2dShape& s) {
  ScratchFrame frame;
  const auto taps = [&](int64_t count, int64_t first, int64_t dilation) {
    int64_t* const tap = frame.allocate<int64_t>(count);
    for (int64_t t = 0; t < count; ++t) tap[t] = first - t * dilation;
    return TapAxis{count, tap, 1};
  };
  return {s.groups,
          s.group_out(),
          s.group_in(),
          s.kernel,
          {s.in_h, s.in_w},
          {1, 1},
          inner_taps(taps(s.kernel.h, s.padding.top, s.dilation.h), s.in_h, s.out_h),
          inner_taps(taps(s.kernel.w, s.padding.left, s.dilation.w), s.in_w, s.out_w)};
}

double correlation_cost(const DirectWork& w) {
  return correlates_by_channels(w) ? correlation_by_channels(w) : correlation_by_rows(w);
}
double weight_gradient_cost(const DirectWork& w) {
  return has_weight_gradient_by_channels(w) ? weight_gradient_by_channels(w) : weight_gradient_by_rows(w);
}

bool correlates_by_channels(const DirectWork& w) {
  // There is a table for each pair of a run of rows and a run of columns.
  const double tables = product(w.inner_rows.runs * w.taps.h, w.inner_columns.runs * w.taps.w);
  return fits_by_channels(w) && tables <= kMostTerms && correlation_by_channels(w) < correlation_by_rows(w);
}
bool has_weight_gradient_by_channels(const DirectWork& w) {
  // By taps, there is a table for each tap column, with the outputs of a band of at most kBandOutputs
  // outputs, or of a single row.
  const double tables = product(w.taps.w, std::max(w.out.w, kBandOutputs));
  return fits_by_channels(w) && tables <= kMostTerms &&
         weight_gradient_by_channels(w) < weight_gradient_by_rows(w);
}

}  // namespace byhand::cpu
