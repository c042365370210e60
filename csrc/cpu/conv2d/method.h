// The choice of the method that computes a convolution.
#pragma once

#include "core/shapes.h"
#include "ops/conv2d.h"

namespace byhand::cpu {

enum class ConvMethod {
  kDirect,       // direct/direct.h
  kPointwise,    // pointwise.h
  kWinograd,     // winograd/winograd.h
  kWinogradRows  // winograd/rows.h, forward only
};
enum class ConvDirection { kForward, kInputGradient, kWeightGradient };

// Returns the method for this shape. With kAuto, it is the method that is estimated to be the cheapest
// (section 6 of docs/convolution.md). With kWinograd, it is the cheaper of Winograd's two methods. If the
// batch, one of the numbers of channels or the size of the image is 0, the method is kDirect or kPointwise.
// Throws std::invalid_argument if `algorithm` is kWinograd and Winograd's algorithm cannot take the shape.
ConvMethod conv_method(const Conv2dShape& s, ops::ConvAlgorithm algorithm, ConvDirection direction);

}  // namespace byhand::cpu
