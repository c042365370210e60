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

// Returns the method for this shape. With kAuto it is the one with the lowest cost in multiply-adds. A shape
// with an empty operand is kDirect or kPointwise. Throws std::invalid_argument if `algorithm` asks for
// Winograd's and it cannot take the shape.
ConvMethod conv_method(const Conv2dShape& s, ops::ConvAlgorithm algorithm, ConvDirection direction);

}  // namespace byhand::cpu
