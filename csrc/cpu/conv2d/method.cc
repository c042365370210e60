#include "cpu/conv2d/method.h"

#include "core/check.h"
#include "cpu/conv2d/direct/cost.h"
#include "cpu/conv2d/direct/depthwise.h"
#include "cpu/conv2d/pointwise.h"
#include "cpu/conv2d/winograd/driver.h"
#include "cpu/conv2d/winograd/rows.h"

namespace byhand::cpu {

using ops::ConvAlgorithm;

ConvMethod conv_method(const Conv2dShape& s, ConvAlgorithm algorithm, ConvDirection direction) {
  if (algorithm == ConvAlgorithm::kWinograd)
    require(winograd_takes(s),
            "algorithm \"winograd\" takes filters of 3 x 3 and 5 x 5 with stride 1, dilation 1 and one "
            "group, got ",
            s.kernel.h, " x ", s.kernel.w, ", stride (", s.stride.h, ", ", s.stride.w, "), dilation (",
            s.dilation.h, ", ", s.dilation.w, "), groups ", s.groups);
  // A depthwise convolution of 1 x 1 consists of matrix products with one row and one term, which are slow.
  const ConvMethod plain = is_pointwise(s) && !(s.group_out() == 1 && is_depthwise(s))
                               ? ConvMethod::kPointwise
                               : ConvMethod::kDirect;
  if (algorithm == ConvAlgorithm::kDirect || !winograd_takes(s) || s.batch == 0 || s.in_channels == 0 ||
      s.out_channels == 0 || s.in_h == 0 || s.in_w == 0)
    return plain;
  double patches = 0, direct = 0;  // the costs of Winograd's algorithm by patches and of the direct algorithm
  switch (direction) {
    case ConvDirection::kForward:
      patches = winograd_forward_cost(s), direct = correlation_cost(forward_work(s));
      break;
    case ConvDirection::kInputGradient:
      patches = winograd_input_gradient_cost(s), direct = correlation_cost(input_gradient_work(s));
      break;
    case ConvDirection::kWeightGradient:
      patches = winograd_weight_gradient_cost(s), direct = weight_gradient_cost(forward_work(s));
      break;
  }
  const bool by_rows = direction == ConvDirection::kForward && winograd_rows_cost(s) < patches;
  const double best = by_rows ? winograd_rows_cost(s) : patches;
  // With fewer multiply-adds per image, calls take longer than arithmetic. Direct sums of small integers are
  // exact.
  constexpr double kLeastMultiplyAdds = 10'000;
  const double multiply_adds =
      static_cast<double>(s.in_channels * s.out_channels * s.taps()) * static_cast<double>(s.out_h * s.out_w);
  if (algorithm == ConvAlgorithm::kAuto && multiply_adds < kLeastMultiplyAdds) return plain;
  // A multiply-add of the direct algorithm counts as 0.8 of a multiply-add of Winograd's algorithm (section 6
  // of docs/convolution.md).
  if (algorithm == ConvAlgorithm::kAuto && best >= 0.8 * direct) return plain;
  return by_rows ? ConvMethod::kWinogradRows : ConvMethod::kWinograd;
}

}  // namespace byhand::cpu
