#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "core/check.h"
#include "ops/pool2d.h"

namespace byhand::bindings {
namespace {

Pool2dShape pool_shape(const Shape& x, py::handle kernel_size, py::handle stride, py::handle padding,
                       Pair dilation, py::handle ceil_mode) {
  const Pair kernel = parse_pair(kernel_size, "kernel_size");
  return make_pool2d_shape({x[0], x[1], x[2], x[3]}, kernel,
                           stride.is_none() ? kernel : parse_pair(stride, "stride"), parse_padding(padding),
                           dilation, parse_bool(ceil_mode, "ceil_mode"));
}

Shape output_shape(const Pool2dShape& s) { return {s.batch, s.channels, s.out_h, s.out_w}; }

py::tuple max_pool2d(py::handle x_object, py::handle kernel_size, py::handle stride, py::handle padding,
                     py::handle dilation, py::handle ceil_mode, py::handle out_object) {
  const Input x(x_object, "x", 4);
  const Pool2dShape s =
      pool_shape(x.shape(), kernel_size, stride, padding, parse_pair(dilation, "dilation"), ceil_mode);
  const std::vector<py::object> outs = unpack_out(out_object, 2);
  const Output<float> y(outs[0], "out[0]", output_shape(s), {x.original()});
  const Output<int32_t> indices(outs[1], "out[1]", output_shape(s), {x.original(), y.array()});
  without_gil([&] { ops::max_pool2d(s, x.data(), y.data(), indices.data()); });
  return py::make_tuple(y.array(), indices.array());
}

py::array max_pool2d_backward(py::handle dy_object, py::handle indices_object, py::handle shape_object,
                              py::handle out_object) {
  const Input dy(dy_object, "grad_output", 4);
  const ExactInput<int32_t> indices(indices_object, "indices", 0);
  const Shape shape = parse_shape(shape_object, "input_shape", 4);
  require(indices.shape() == dy.shape(), "indices must have shape ", dy.shape(),
          ", that of grad_output, got ", indices.shape());
  require(shape[0] == dy.shape()[0] && shape[1] == dy.shape()[1],
          "input_shape must begin with the batch and channels of grad_output, (", dy.shape()[0], ", ",
          dy.shape()[1], "), got ", shape);
  const Output<float> out(out_object, "out", shape, {dy.original(), indices.original()});
  without_gil([&] {
    ops::max_pool2d_backward(dy.data(), indices.data(), shape[0] * shape[1], dy.shape()[2] * dy.shape()[3],
                             shape[2] * shape[3], out.data());
  });
  return out.array();
}

constexpr Pair kNoDilation{1, 1};

py::array avg_pool2d(py::handle x_object, py::handle kernel_size, py::handle stride, py::handle padding,
                     py::handle ceil_mode, py::handle count_include_pad, py::handle out_object) {
  const Input x(x_object, "x", 4);
  const Pool2dShape s = pool_shape(x.shape(), kernel_size, stride, padding, kNoDilation, ceil_mode);
  const Output<float> out(out_object, "out", output_shape(s), {x.original()});
  const bool include_pad = parse_bool(count_include_pad, "count_include_pad");
  without_gil([&] { ops::avg_pool2d(s, include_pad, x.data(), out.data()); });
  return out.array();
}

py::array avg_pool2d_backward(py::handle dy_object, py::handle shape_object, py::handle kernel_size,
                              py::handle stride, py::handle padding, py::handle ceil_mode,
                              py::handle count_include_pad, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 4);
  const Shape shape = parse_shape(shape_object, "input_shape", 4);
  const Pool2dShape s = pool_shape(shape, kernel_size, stride, padding, kNoDilation, ceil_mode);
  dy.expect(output_shape(s), "that of avg_pool2d's output for these arguments");
  const Output<float> out(out_object, "out", shape, {dy.original()});
  const bool include_pad = parse_bool(count_include_pad, "count_include_pad");
  without_gil([&] { ops::avg_pool2d_backward(s, include_pad, dy.data(), out.data()); });
  return out.array();
}

}  // namespace

void bind_pool2d(py::module_& m) {
  define<max_pool2d>(
      m, "max_pool2d(x, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False, out=None)",
      R"(Largest value of every window: (output, indices).

x (n, channels, h, w) -> output (n, channels, oh, ow) float32 and indices of the same shape, int32: the
place of each maximum in its plane, row * w + column.
    oh = floor((h + top + bottom - dilation * (kernel - 1) - 1) / stride) + 1
ow likewise; ceil_mode rounds up instead, less a last window that begins beyond the input and its top padding.
kernel_size, stride and dilation are an int or a pair (height, width), padding also
((top, bottom), (left, right)); stride None is kernel_size. `out` is a pair.

The first of equal values wins; NaN wins over numbers, and a later NaN over an earlier one. Padding
never wins: a window that sees no input gives -inf and index -1.)");
  define<max_pool2d_backward>(
      m, "max_pool2d_backward(grad_output, indices, input_shape, *, out=None)",
      R"(Gradient of max_pool2d's x: every value of grad_output, added where its maximum came from.

grad_output and indices (n, channels, oh, ow), as max_pool2d returned them; input_shape
(n, channels, h, w) -> that shape. Index -1 has no gradient. Raises ValueError for an index beyond
-1 to h * w - 1.)");
  define<avg_pool2d>(
      m,
      "avg_pool2d(x, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True, "
      "out=None)",
      R"(Mean of every window.

x (n, channels, h, w) -> (n, channels, oh, ow); sizes and arguments as for max_pool2d. The sum over a
window is divided by the number of its cells in the input, or in input and padding with
count_include_pad; cells beyond the padding, where ceil_mode may reach, never count. A window that
sees no input gives 0.)");
  define<avg_pool2d_backward>(
      m,
      "avg_pool2d_backward(grad_output, input_shape, kernel_size, *, stride=None, padding=0, "
      "ceil_mode=False, count_include_pad=True, out=None)",
      R"(Gradient of avg_pool2d's x: grad_output over the divisor, added to every input of the window.

grad_output (n, channels, oh, ow), input_shape (n, channels, h, w) -> that shape; the other arguments
as avg_pool2d took them.)");
}

}  // namespace byhand::bindings
