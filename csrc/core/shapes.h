// Shapes of the windowed operators, and the checks that make every later index computation safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace byhand {

// The number of bytes of the largest array that a shape may describe. No machine has that much memory. The
// workspace that an algorithm derives from an array is less than 8 times as large, so that its size fits
// int64 and can be computed before anything is allocated.
inline constexpr int64_t kMostBytes = int64_t{1} << 60;

// Whether a float32 array of these dimensions has at most kMostBytes. Dimensions of 0 are skipped.
bool is_countable(const int64_t* dimensions, size_t count);

struct Pair {
  int64_t h, w;
};

struct Padding {
  int64_t top, bottom, left, right;
};

// x (batch, in_channels, in_h, in_w), weight (out_channels, in_channels / groups, kernel.h, kernel.w),
// y (batch, out_channels, out_h, out_w). None of the three has more than kMostBytes.
struct Conv2dShape {
  int64_t batch, in_channels, in_h, in_w;
  int64_t out_channels, out_h, out_w;
  Pair kernel, stride, dilation;
  Padding padding;
  int64_t groups;

  int64_t taps() const { return kernel.h * kernel.w; }
  int64_t group_in() const { return in_channels / groups; }
  int64_t group_out() const { return out_channels / groups; }
};

// From the shapes of x and weight. Throws std::invalid_argument that names the argument where the numbers
// make no convolution.
Conv2dShape make_conv2d_shape(const int64_t (&x)[4], const int64_t (&weight)[4], Pair stride, Padding padding,
                              Pair dilation, int64_t groups);

// x (batch, channels, in_h, in_w) -> (batch, channels, out_h, out_w).
struct Pool2dShape {
  int64_t batch, channels, in_h, in_w;
  int64_t out_h, out_w;
  Pair kernel, stride, dilation;
  Padding padding;

  int64_t planes() const { return batch * channels; }
};

// With `ceil_mode` the output size is rounded up, less a last window that would begin beyond the input and
// the padding before it: PyTorch's rule.
Pool2dShape make_pool2d_shape(const int64_t (&x)[4], Pair kernel, Pair stride, Padding padding, Pair dilation,
                              bool ceil_mode);

}  // namespace byhand
