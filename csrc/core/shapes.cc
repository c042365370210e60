#include "core/shapes.h"

#include <algorithm>

#include "core/check.h"

namespace byhand {
namespace {

// The largest stride, dilation, padding and kernel size. With larger numbers, index computations could
// overflow int64.
constexpr int64_t kMost = int64_t{1} << 31;

void check_pair(const char* name, Pair value, int64_t least) {
  require(value.h >= least && value.w >= least && value.h <= kMost && value.w <= kMost, name,
          " must be from ", least, " to 2**31 in both directions, got (", value.h, ", ", value.w, ")");
}

void check_padding(Padding p) {
  for (const int64_t value : {p.top, p.bottom, p.left, p.right})
    require(value >= 0 && value <= kMost, "padding must be from 0 to 2**31 on every side, got ((", p.top,
            ", ", p.bottom, "), (", p.left, ", ", p.right, "))");
}

template <class... Parts>
void check_countable(const int64_t (&d)[4], const Parts&... what) {
  require(is_countable(d, 4), what..., " must have at most 2**60 bytes, got shape (", d[0], ", ", d[1], ", ",
          d[2], ", ", d[3], ")");
}

void check_output(const int64_t (&dimensions)[4], Pair stride, Padding p) {
  check_countable(dimensions, "the output for stride (", stride.h, ", ", stride.w, ") and padding ((", p.top,
                  ", ", p.bottom, "), (", p.left, ", ", p.right, "))");
}

// Returns the number of windows along one axis. A window reads `kernel` positions, its taps, which lie
// `dilation` apart. Windows begin `stride` apart. The axis has `size` values, with `before` and `after`
// positions of padding around them. With `ceil_mode`, the last window may end beyond the padding, but it must
// begin within the input or the padding before it.
int64_t output_size(const char* axis, int64_t size, int64_t kernel, int64_t stride, int64_t dilation,
                    int64_t before, int64_t after, bool ceil_mode) {
  // kernel and dilation are at most 2**31 each, so the span fits int64.
  const int64_t span = dilation * (kernel - 1) + 1, room = size + before + after - span;
  const int64_t rounded = room + (ceil_mode ? stride - 1 : 0);
  require(rounded >= 0, "the kernel must fit into the padded input, but its ", axis, " spans ", span,
          " values (kernel ", kernel, ", dilation ", dilation, "), and the input has ", size, " (padding ",
          before, " + ", after, ")");
  const int64_t count = rounded / stride + 1;
  return ceil_mode && (count - 1) * stride >= size + before ? count - 1 : count;
}

}  // namespace

bool is_countable(const int64_t* dimensions, size_t count) {
  int64_t bytes = sizeof(float);
  for (size_t i = 0; i < count; ++i)
    if (dimensions[i] > 0 && (__builtin_mul_overflow(bytes, dimensions[i], &bytes) || bytes > kMostBytes))
      return false;
  return true;
}

Conv2dShape make_conv2d_shape(const int64_t (&x)[4], const int64_t (&weight)[4], Pair stride, Padding padding,
                              Pair dilation, int64_t groups) {
  check_pair("stride", stride, 1);
  check_pair("dilation", dilation, 1);
  check_padding(padding);
  const Pair kernel{weight[2], weight[3]};
  require(kernel.h >= 1 && kernel.w >= 1 && kernel.h <= kMost && kernel.w <= kMost,
          "weight must have a kernel size from 1 x 1 to 2**31 x 2**31, got ", kernel.h, " x ", kernel.w);
  require(groups >= 1 && groups <= std::max({x[1], weight[0], int64_t{1}}),
          "groups must be from 1 to the larger number of channels, ", std::max(x[1], weight[0]), ", got ",
          groups);
  require(x[1] % groups == 0, "groups must divide the ", x[1], " channels of the input, got ", groups);
  require(weight[0] % groups == 0, "groups must divide the ", weight[0], " output channels of weight, got ",
          groups);
  require(weight[1] == x[1] / groups, "weight must have ", x[1] / groups, " input channels (", x[1],
          " channels of the input / groups ", groups, "), got ", weight[1]);
  Conv2dShape s{};
  s.batch = x[0], s.in_channels = x[1], s.in_h = x[2], s.in_w = x[3];
  s.out_channels = weight[0];
  s.kernel = kernel, s.stride = stride, s.dilation = dilation, s.padding = padding, s.groups = groups;
  s.out_h = output_size("height", s.in_h, kernel.h, stride.h, dilation.h, padding.top, padding.bottom, false);
  s.out_w = output_size("width", s.in_w, kernel.w, stride.w, dilation.w, padding.left, padding.right, false);
  check_countable(x, "x");
  check_countable(weight, "weight");
  check_output({s.batch, s.out_channels, s.out_h, s.out_w}, stride, padding);
  return s;
}

Pool2dShape make_pool2d_shape(const int64_t (&x)[4], Pair kernel, Pair stride, Padding padding, Pair dilation,
                              bool ceil_mode) {
  check_pair("kernel_size", kernel, 1);
  check_pair("stride", stride, 1);
  check_pair("dilation", dilation, 1);
  check_padding(padding);
  Pool2dShape s{};
  s.batch = x[0], s.channels = x[1], s.in_h = x[2], s.in_w = x[3];
  s.kernel = kernel, s.stride = stride, s.dilation = dilation, s.padding = padding;
  s.out_h =
      output_size("height", s.in_h, kernel.h, stride.h, dilation.h, padding.top, padding.bottom, ceil_mode);
  s.out_w =
      output_size("width", s.in_w, kernel.w, stride.w, dilation.w, padding.left, padding.right, ceil_mode);
  check_countable(x, "x");
  check_output({s.batch, s.channels, s.out_h, s.out_w}, stride, padding);
  // The indices that max pooling writes are positions in a plane, as int32.
  require(s.in_h == 0 || s.in_w <= INT32_MAX / s.in_h, "x must have planes of less than 2**31 values, got ",
          s.in_h, " x ", s.in_w);
  return s;
}

}  // namespace byhand
