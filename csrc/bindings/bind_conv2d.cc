#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/conv2d_geometry.h"
#include "bindings/function.h"
#include "ops/conv2d.h"

namespace byhand::bindings {
namespace {

Shape output_shape(const Conv2dShape& s) { return {s.batch, s.out_channels, s.out_h, s.out_w}; }

constexpr const char* kOutputWhy = "that of conv2d's output for these arguments";

py::array conv2d(py::handle x_object, py::handle weight_object, py::handle bias_object, py::handle stride,
                 py::handle padding, py::handle dilation, py::handle groups, py::handle algorithm,
                 py::handle out_object) {
  const Input x(x_object, "x", 4), weight(weight_object, "weight", 4);
  const Geometry geometry(stride, padding, dilation, groups, algorithm);
  const Conv2dShape s = geometry.shape(x.shape(), weight.shape());
  const OptionalInput bias(bias_object, "bias", 1);
  bias.expect({s.out_channels}, "a value for each output channel of weight");
  const Output<float> out(out_object, "out", output_shape(s),
                          {x.original(), weight.original(), bias.original()});
  without_gil([&] { ops::conv2d(s, geometry.algorithm, x.data(), weight.data(), bias.data(), out.data()); });
  return out.array();
}

py::array conv2d_backward_input(py::handle dy_object, py::handle weight_object, py::handle shape_object,
                                py::handle stride, py::handle padding, py::handle dilation, py::handle groups,
                                py::handle algorithm, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 4), weight(weight_object, "weight", 4);
  const Shape shape = parse_shape(shape_object, "input_shape", 4);
  const Geometry geometry(stride, padding, dilation, groups, algorithm);
  const Conv2dShape s = geometry.shape(shape, weight.shape());
  dy.expect(output_shape(s), kOutputWhy);
  const Output<float> out(out_object, "out", shape, {dy.original(), weight.original()});
  without_gil(
      [&] { ops::conv2d_backward_input(s, geometry.algorithm, dy.data(), weight.data(), out.data()); });
  return out.array();
}

py::array conv2d_backward_weight(py::handle dy_object, py::handle x_object, py::handle shape_object,
                                 py::handle stride, py::handle padding, py::handle dilation,
                                 py::handle groups, py::handle algorithm, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 4), x(x_object, "x", 4);
  const Shape shape = parse_shape(shape_object, "weight_shape", 4);
  const Geometry geometry(stride, padding, dilation, groups, algorithm);
  const Conv2dShape s = geometry.shape(x.shape(), shape);
  dy.expect(output_shape(s), kOutputWhy);
  const Output<float> out(out_object, "out", shape, {dy.original(), x.original()});
  without_gil([&] { ops::conv2d_backward_weight(s, geometry.algorithm, dy.data(), x.data(), out.data()); });
  return out.array();
}

py::array conv2d_backward_bias(py::handle dy_object, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 4);
  const Shape& shape = dy.shape();
  const Output<float> out(out_object, "out", {shape[1]}, {dy.original()});
  without_gil(
      [&] { ops::conv2d_backward_bias(dy.data(), shape[0], shape[1], shape[2] * shape[3], out.data()); });
  return out.array();
}

}  // namespace

void bind_conv2d(py::module_& m) {
  define<conv2d>(
      m,
      "conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1, algorithm='auto', "
      "out=None)",
      R"(Two-dimensional convolution (cross-correlation, as in every network library).

y[n, o, i, j] = bias[o] + sum over c, k, l of
    weight[o, c, k, l] * x[n, g*C + c, i*stride + k*dilation - padding, j*stride + l*dilation - padding]

x (N, in_channels, H, W), weight (out_channels, C, KH, KW) with C = in_channels / groups and g the group
of o, bias (out_channels,) -> (N, out_channels, OH, OW) with
OH = (H + padding_top + padding_bottom - dilation*(KH - 1) - 1) // stride + 1.

stride, dilation: an int or (h, w); padding: an int, (h, w) or ((top, bottom), (left, right)); groups
divides both channel counts. Zeros left and right of the image take part in the arithmetic, so an infinite
weight that meets one gives NaN.

algorithm: "direct"; "winograd", for kernels of 3 x 3 and 5 x 5 with stride 1, dilation 1 and one group;
or "auto", the faster of the two for this shape and direction. Winograd's is off by at most 2e-5 of
conv2d(abs(x), abs(weight)) in the Euclidean norm over the array (on random data: by 2e-7 to 8e-6 of the
result; the direct one by some 1e-7), and a NaN, an infinity or a value beyond 1e36 in x may spoil the 8 x 8
patches that hold it.

Sources: Dumoulin and Visin, A guide to convolution arithmetic for deep learning, arXiv:1603.07285; Lavin
and Gray, Fast algorithms for convolutional neural networks, arXiv:1509.09308.)");
  define<conv2d_backward_input>(
      m,
      "conv2d_backward_input(grad_output, weight, input_shape, *, stride=1, padding=0, dilation=1, "
      "groups=1, algorithm='auto', out=None)",
      R"(Gradient of conv2d's x.

grad_output (N, out_channels, OH, OW), weight as in conv2d, input_shape (N, in_channels, H, W) ->
an array of input_shape. The other arguments are conv2d's. Zeros stand left and right of grad_output
where the kernel reaches beyond it and take part in the arithmetic, so an infinite weight that meets one
gives NaN.)");
  define<conv2d_backward_weight>(
      m,
      "conv2d_backward_weight(grad_output, x, weight_shape, *, stride=1, padding=0, dilation=1, groups=1, "
      "algorithm='auto', out=None)",
      R"(Gradient of conv2d's weight.

grad_output (N, out_channels, OH, OW), x as in conv2d, weight_shape (out_channels, C, KH, KW) ->
an array of weight_shape; zeros for N = 0. The other arguments are conv2d's.)");
  define<conv2d_backward_bias>(m, "conv2d_backward_bias(grad_output, *, out=None)",
                               R"(Gradient of conv2d's bias: the sum of grad_output over images and positions.

grad_output (N, out_channels, OH, OW) -> (out_channels,); zeros for N = 0.)");
}

}  // namespace byhand::bindings
