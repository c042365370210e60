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
// The cost of a multiply-add in a tile of one vector, which needs a load for each multiply-add, in a
// correlation and in the weight gradient.
constexpr double kNarrowTile = 1.25, kNarrowGradientTile = 1.25;
// The cost of a multiply-add of the weight gradient by rows. It includes adding up the lanes.
constexpr double kWeightDot = 1.1;

double product(int64_t a, int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

// The terms of an output, with those that stand for the time of a tile.
double terms(const DirectWork& w, int64_t lanes) {
  return product(w.channels, w.taps.h * w.taps.w) + kLaneTerms * static_cast<double>(lanes);
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
  const int64_t ends = w.inside || w.taps.h == 1 ? 0 : 2;
  const double outputs = product(w.out.h * ceil_div(w.out.w, lanes) + ends, lanes);
  return lanes < wide_lanes ? narrow_multiply_add() * outputs : outputs;
}

// A tile of one or two output channels waits for its loads and takes as long as a tile of three.
double correlation_by_rows(const DirectWork& w) {
  const int64_t lanes = tiles_for_rows(w.out.w).lanes, widest = kernels<CorrelateKernels>().wide.lanes;
  return static_cast<double>(w.groups) * terms(w, lanes) * std::max(static_cast<double>(w.outputs), 3.0) *
             plane_by_rows(w, lanes, widest) +
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
  const double terms = product(w.groups * w.channels, w.taps.h * w.taps.w);
  return kWeightDot * terms * static_cast<double>(tiles) * tile * plane_by_rows(w, lanes, k.wide_dots.lanes) +
         staging(w);
}

// `narrow_tile` is the cost of a multiply-add in a tile of one vector.
double by_channels(const DirectWork& w, double narrow_tile, bool copies_inputs) {
  const Panels p(w.outputs);
  const int64_t narrow = p.padded % p.width;  // the width of a panel of one vector, if there is one
  const double padded = static_cast<double>(p.padded - narrow) + narrow_tile * static_cast<double>(narrow);
  const double copy =
      copies(w, {1, 1}, {(w.out.h - 1) * w.stride.h + w.taps.h, (w.out.w - 1) * w.stride.w + w.taps.w},
             kCopiedValue);
  // Transposing an output, or its gradient, takes as long as a multiply-add for each lane.
  const double transposing = product(p.lanes, w.outputs);
  return product(w.groups * w.out.h, w.out.w) * (terms(w, p.lanes) * padded + transposing) +
         (copies_inputs ? copy : 0);
}

double correlation_by_channels(const DirectWork& w) { return by_channels(w, kNarrowTile, !w.inside); }

// With kTapChannels and more channels, a padded image is not copied, and a tile has a row for each channel. A
// tile of one vector and fewer than 8 rows waits for its sums.
double weight_gradient_by_channels(const DirectWork& w) {
  const bool by_taps = !w.inside && w.channels >= kTapChannels;
  const double waiting = by_taps ? std::max(1.0, 8 / static_cast<double>(w.channels)) : 1;
  return by_channels(w, kNarrowGradientTile * waiting, !w.inside && !by_taps);
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

}  // namespace

DirectWork forward_work(const Conv2dShape& s) {
  const bool inside =
      s.padding.top == 0 && s.padding.bottom == 0 && s.padding.left == 0 && s.padding.right == 0;
  return {s.groups, s.group_in(), s.group_out(), s.kernel, {s.out_h, s.out_w}, s.stride, inside};
}

DirectWork input_gradient_work(const Conv2dShape& s) {
  const Pair last{(s.kernel.h - 1) * s.dilation.h, (s.kernel.w - 1) * s.dilation.w};
  const bool inside = s.padding.top >= last.h && s.padding.bottom >= last.h && s.padding.left >= last.w &&
                      s.padding.right >= last.w;
  return {s.groups, s.group_out(), s.group_in(), s.kernel, {s.in_h, s.in_w}, {1, 1}, inside};
}

double correlation_cost(const DirectWork& w) {
  return correlates_by_channels(w) ? correlation_by_channels(w) : correlation_by_rows(w);
}
double weight_gradient_cost(const DirectWork& w) {
  return has_weight_gradient_by_channels(w) ? weight_gradient_by_channels(w) : weight_gradient_by_rows(w);
}

bool correlates_by_channels(const DirectWork& w) {
  return fits_by_channels(w) && correlation_by_channels(w) < correlation_by_rows(w);
}
bool has_weight_gradient_by_channels(const DirectWork& w) {
  return fits_by_channels(w) && weight_gradient_by_channels(w) < weight_gradient_by_rows(w);
}

}  // namespace byhand::cpu
