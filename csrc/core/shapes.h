// The shapes of convolution and pooling, and their checks. After the checks, no computation of an index or of
// a size overflows int64.
#pragma once

#include <cstddef>
#include <cstdint>

namespace byhand {

// The size in bytes of the largest array that a shape may describe. No machine has that much memory. The
// workspace that an algorithm needs for an array is less than 8 times as large as the array. So the size of
// the workspace fits int64, too, and can be computed before anything is allocated.
inline constexpr int64_t kMostBytes = int64_t{1} << 60;

// Returns whether a float32 array of these dimensions has at most kMostBytes. Dimensions of 0 are skipped, so
// that the product of the other dimensions does not overflow, either.
bool is_countable(const int64_t* dimensions, size_t count);

struct Pair {
  int64_t h, w;
};

struct Padding {
  int64_t top, bottom, left, right;
};

// A convolution of x (batch, in_channels, in_h, in_w) and weight (out_channels, in_channels / groups,
// kernel.h, kernel.w), which gives y (batch, out_channels, out_h, out_w). None of the three has more than
// kMostBytes.
struct Conv2dShape {
  int64_t batch, in_channels, in_h, in_w;
  int64_t out_channels, out_h, out_w;
  Pair kernel, stride, dilation;
  Padding padding;
  int64_t groups;

  int64_t taps() const { return kernel.h * kernel.w; }         // filter positions per channel
  int64_t group_in() const { return in_channels / groups; }    // input channels per group
  int64_t group_out() const { return out_channels / groups; }  // output channels per group
};

// Makes the shape of a convolution from the shapes of x and weight. Throws std::invalid_argument if the
// arguments do not describe a convolution. The message names the wrong argument.
Conv2dShape make_conv2d_shape(const int64_t (&x)[4], const int64_t (&weight)[4], Pair stride, Padding padding,
                              Pair dilation, int64_t groups);

// Pooling of x (batch, channels, in_h, in_w), which gives y (batch, channels, out_h, out_w).
struct Pool2dShape {
  int64_t batch, channels, in_h, in_w;
  int64_t out_h, out_w;
  Pair kernel, stride, dilation;
  Padding padding;

  int64_t planes() const { return batch * channels; }
};

// Makes the shape of a pooling from the shape of x. `ceil_mode` rounds the output size up, but drops the last
// window if it would begin behind the input, in the padding or beyond it, as PyTorch does. Throws
// std::invalid_argument as make_conv2d_shape does.
Pool2dShape make_pool2d_shape(const int64_t (&x)[4], Pair kernel, Pair stride, Padding padding, Pair dilation,
                              bool ceil_mode);

}  // namespace byhand
