#include "cpu/conv2d_method.h"

#include <algorithm>

#include "core/check.h"
#include "cpu/conv2d_winograd.h"
#include "cpu/conv2d_winograd_rows.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

using ops::ConvAlgorithm;

bool winograd_takes(const Conv2dShape& s) {
  return s.kernel.h == s.kernel.w && (s.kernel.h == 3 || s.kernel.h == 5) && s.stride.h == 1 &&
         s.stride.w == 1 && s.dilation.h == 1 && s.dilation.w == 1 && s.groups == 1;
}

// The multiply-adds of the direct algorithm. It computes grad input as a correlation with one output per
// value of x. A tile of one or two channels is limited by its loads, so it counts as one of three.
double direct_cost(const Conv2dShape& s, ConvDirection direction) {
  const double in = static_cast<double>(s.in_channels), out = static_cast<double>(s.out_channels);
  const double taps = static_cast<double>(s.taps());
  if (direction == ConvDirection::kInputGradient)
    return taps * out * std::max(in, 3.0) * static_cast<double>(s.in_h * s.in_w);
  return taps * in * std::max(out, 3.0) * static_cast<double>(s.out_h * s.out_w);
}

// A patch of 8 x 8 inputs for step x step outputs.
double winograd_cost(const Conv2dShape& s) {
  const int64_t step = kWinogradSize + 1 - s.kernel.h;
  const double patches =
      static_cast<double>(ceil_div(s.out_h, step)) * static_cast<double>(ceil_div(s.out_w, step));
  const double in = static_cast<double>(s.in_channels), out = static_cast<double>(s.out_channels);
  return patches * (in * out * kWinogradValues + (in + out) * kWinogradTransform);
}

}  // namespace

double direct_ns(const Conv2dShape& s) {
  return fma_ns(static_cast<double>(s.batch) * static_cast<double>(s.out_h * s.out_w) *
                static_cast<double>(s.out_channels * s.group_in() * s.taps()));
}

// A tile of 8 inputs of a row for `step` outputs. Lanes with nothing to do take as long as the others.
double winograd_rows_multiply_adds(const Conv2dShape& s) {
  constexpr double kInput = 40, kOutput = 8;  // of a tile and of an output: transforms, in one channel
  const RowBands bands(s);
  const int64_t step = kWinogradSize + 1 - s.kernel.w;
  const double tiles = static_cast<double>(bands.groups * kernels().winograd_rows.lanes) *
                       static_cast<double>(bands.rows) * static_cast<double>(ceil_div(s.out_w, step)) /
                       static_cast<double>(s.batch);
  const double in = static_cast<double>(s.in_channels), out = static_cast<double>(s.out_channels);
  const double products = in * out * static_cast<double>(kWinogradSize * s.kernel.h);
  return tiles * (products + in * kInput + out * kOutput * static_cast<double>(step));
}

ConvMethod conv_method(const Conv2dShape& s, ConvAlgorithm algorithm, ConvDirection direction) {
  if (algorithm == ConvAlgorithm::kWinograd)
    require(winograd_takes(s),
            "algorithm \"winograd\" takes kernels of 3 x 3 and 5 x 5 with stride 1, dilation 1 and one "
            "group, got ",
            s.kernel.h, " x ", s.kernel.w, ", stride (", s.stride.h, ", ", s.stride.w, "), dilation (",
            s.dilation.h, ", ", s.dilation.w, "), groups ", s.groups);
  if (algorithm == ConvAlgorithm::kDirect || !winograd_takes(s) || s.batch == 0 || s.in_channels == 0 ||
      s.out_channels == 0)
    return ConvMethod::kDirect;
  const double patches = winograd_cost(s);
  const bool rows = direction == ConvDirection::kForward && winograd_rows_multiply_adds(s) < patches;
  const double best = rows ? winograd_rows_multiply_adds(s) : patches;
  if (algorithm == ConvAlgorithm::kAuto && best >= 0.8 * direct_cost(s, direction))
    return ConvMethod::kDirect;
  return rows ? ConvMethod::kWinogradRows : ConvMethod::kWinograd;
}

}  // namespace byhand::cpu
