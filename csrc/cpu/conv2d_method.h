// The choice of the method that computes a convolution.
#pragma once

#include "core/shapes.h"
#include "ops/conv2d.h"

namespace byhand::cpu {

enum class ConvMethod {
  kDirect,
  kWinograd,     // conv2d_winograd.h
  kWinogradRows  // conv2d_winograd_rows.h, forward alone
};
enum class ConvDirection { kForward, kInputGradient, kWeightGradient };

// With kAuto the method that is fastest, by the multiply-adds that each takes. Winograd's are for kernels of
// 3 x 3 and 5 x 5, stride 1, dilation 1 and one group: throws std::invalid_argument where they are asked for
// and cannot. A shape with an empty operand is always kDirect.
ConvMethod conv_method(const Conv2dShape& s, ops::ConvAlgorithm algorithm, ConvDirection direction);

// About how long the direct algorithm takes, in any direction.
double direct_ns(const Conv2dShape& s);

// Multiply-adds of forward, for an image: transforms count as what takes as long.
double winograd_rows_multiply_adds(const Conv2dShape& s);

}  // namespace byhand::cpu
