#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/conv2d_geometry.h"
#include "bindings/function.h"
#include "bindings/gil.h"

namespace byhand::bindings {
namespace {

Shape output_shape(const Conv2dShape& s) { return {s.batch, s.out_channels, s.out_h, s.out_w}; }

constexpr const char* kOutputWhy = "the shape of conv2d's output for these arguments";

py::object conv2d(py::handle x_object, py::handle weight_object, py::handle bias_object, py::handle stride,
                  py::handle padding, py::handle dilation, py::handle groups, py::handle algorithm,
                  py::handle out_object) {
  const Input x(x_object, "x", 4), weight(weight_object, "weight", 4);
  const Geometry geometry(stride, padding, dilation, groups, algorithm);
  const Conv2dShape s = geometry.shape(x.shape(), weight.shape());
  const OptionalInput bias(bias_object, "bias", 1);
  bias.expect({s.out_channels}, "one value per output channel of weight");
  const Output<float> out(out_object, "out", output_shape(s), {x.region(), weight.region(), bias.region()});
  without_gil(
      [&] { out.device().conv2d(s, geometry.algorithm, x.data(), weight.data(), bias.data(), out.data()); });
  return out.array();
}

py::object conv2d_backward_input(py::handle dy_object, py::handle weight_object, py::handle shape_object,
                                 py::handle stride, py::handle padding, py::handle dilation,
                                 py::handle groups, py::handle algorithm, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 4), weight(weight_object, "weight", 4);
  const Shape shape = parse_shape(shape_object, "input_shape", 4);
  const Geometry geometry(stride, padding, dilation, groups, algorithm);
  const Conv2dShape s = geometry.shape(shape, weight.shape());
  dy.expect(output_shape(s), kOutputWhy);
  const Output<float> out(out_object, "out", shape, {dy.region(), weight.region()});
  without_gil([&] {
    out.device().conv2d_backward_input(s, geometry.algorithm, dy.data(), weight.data(), out.data());
  });
  return out.array();
}

py::object conv2d_backward_weight(py::handle dy_object, py::handle x_object, py::handle shape_object,
                                  py::handle stride, py::handle padding, py::handle dilation,
                                  py::handle groups, py::handle algorithm, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 4), x(x_object, "x", 4);
  const Shape shape = parse_shape(shape_object, "weight_shape", 4);
  const Geometry geometry(stride, padding, dilation, groups, algorithm);
  const Conv2dShape s = geometry.shape(x.shape(), shape);
  dy.expect(output_shape(s), kOutputWhy);
  const Output<float> out(out_object, "out", shape, {dy.region(), x.region()});
  without_gil(
      [&] { out.device().conv2d_backward_weight(s, geometry.algorithm, dy.data(), x.data(), out.data()); });
  return out.array();
}

py::object conv2d_backward_bias(py::handle dy_object, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 4);
  const Shape& shape = dy.shape();
  const Output<float> out(out_object, "out", {shape[1]}, {dy.region()});
  without_gil([&] {
    out.device().conv2d_backward_bias(dy.data(), shape[0], shape[1], shape[2] * shape[3], out.data());
  });
  return out.array();
}

}  // namespace

void bind_conv2d(py::module_& m) {
  define<conv2d>(
      m,
      "conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1, algorithm='auto', "
      "out=None)",
      R"(Convolve images with filters.

As in all network libraries, this is a cross-correlation: the filters are not flipped.

Parameters
----------
x : ndarray, shape (N, in_channels, H, W), float32
    Images.
weight : ndarray, shape (out_channels, in_channels / groups, KH, KW), float32
    Filters.
bias : ndarray, shape (out_channels,), float32, optional
    Values that are added to the output channels, one per channel.
stride : int or (int, int), default 1
    Distance between the windows of neighbouring outputs, as one number or (height, width).
padding : int, (int, int) or ((int, int), (int, int)), default 0
    Rows and columns of zeros around each image: one number for every side, (height, width), or
    ((top, bottom), (left, right)).
dilation : int or (int, int), default 1
    Distance between the inputs that neighbouring weights of a filter read, as one number or
    (height, width).
groups : int, default 1
    Number of groups. It must divide in_channels and out_channels. Each group of output channels
    reads only its own group of input channels.
algorithm : {"auto", "direct", "winograd"}, default "auto"
    "winograd" is possible for filters of 3 x 3 and 5 x 5 with stride 1, dilation 1 and one
    group. "auto" takes the algorithm that is faster for these shapes. The notes below state the
    accuracy of both algorithms.
out : ndarray, shape (N, out_channels, OH, OW), float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape (N, out_channels, OH, OW), float32
    The output. OH = (H + top + bottom - dilation * (KH - 1) - 1) // stride + 1, and OW
    likewise.

Raises
------
TypeError
    If an array is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If the shapes do not agree, the dilated filter is larger than the padded image, the
    algorithm is not possible for the shapes, or `out` is not as described above.

Notes
-----
The output, with C = in_channels / groups and g the group of output channel o::

    y[n, o, i, j] = bias[o] + sum over c, k, l of weight[o, c, k, l]
        * x[n, g * C + c, i * stride + k * dilation - top, j * stride + l * dilation - left]

The zeros of the padding may take part in the arithmetic, so an infinite weight that is
multiplied by such a zero may give NaN.

The error of "winograd" satisfies norm(error) <= 2e-5 * norm(conv2d(abs(x), abs(weight))), with
the Euclidean norm over the array. On random data, norm(error) is up to 8.3e-6 times the norm of
the result with "winograd", and up to 5.1e-7 times with "direct".

"winograd" computes 6 x 6 outputs of a 3 x 3 filter, or 4 x 4 outputs of a 5 x 5 filter, from
each 8 x 8 patch of x. Neighbouring patches overlap. A NaN, an infinity or a value beyond 1e36
in x may spoil all outputs of every patch that contains it.

References
----------
V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning,
arXiv:1603.07285. A. Lavin and S. Gray, Fast algorithms for convolutional neural networks,
arXiv:1509.09308.)");
  define<conv2d_backward_input>(
      m,
      "conv2d_backward_input(grad_output, weight, input_shape, *, stride=1, padding=0, dilation=1, "
      "groups=1, algorithm='auto', out=None)",
      R"(Compute the gradient of conv2d with respect to x.

Parameters
----------
grad_output : ndarray, shape (N, out_channels, OH, OW), float32
    Gradient with respect to the output.
weight : ndarray, shape (out_channels, in_channels / groups, KH, KW), float32
    Filters, as given to `conv2d`.
input_shape : (int, int, int, int)
    Shape of x, (N, in_channels, H, W).
stride, padding, dilation, groups, algorithm : optional
    As given to `conv2d`.
out : ndarray, shape input_shape, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape input_shape, float32
    Gradient with respect to x.

Raises
------
TypeError
    If an array is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If the shapes do not agree, the algorithm is not possible for them, or `out` is not as
    described above.

Notes
-----
If a filter reaches beyond grad_output, its weights there may be multiplied by zeros, so an
infinite weight may give NaN. The error of "winograd" satisfies
norm(error) <= 2e-5 * norm(conv2d_backward_input(abs(grad_output), abs(weight), input_shape)),
with the Euclidean norm over the array.)");
  define<conv2d_backward_weight>(
      m,
      "conv2d_backward_weight(grad_output, x, weight_shape, *, stride=1, padding=0, dilation=1, groups=1, "
      "algorithm='auto', out=None)",
      R"(Compute the gradient of conv2d with respect to the weight.

Parameters
----------
grad_output : ndarray, shape (N, out_channels, OH, OW), float32
    Gradient with respect to the output.
x : ndarray, shape (N, in_channels, H, W), float32
    Images, as given to `conv2d`.
weight_shape : (int, int, int, int)
    Shape of the weight, (out_channels, in_channels / groups, KH, KW).
stride, padding, dilation, groups, algorithm : optional
    As given to `conv2d`.
out : ndarray, shape weight_shape, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape weight_shape, float32
    Gradient with respect to the weight, summed over the images; zeros if N is 0.

Raises
------
TypeError
    If an array is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If the shapes do not agree, the algorithm is not possible for them, or `out` is not as
    described above.

Notes
-----
The error of "winograd" satisfies norm(error) <= 2e-5 *
norm(conv2d_backward_weight(abs(grad_output), abs(x), weight_shape)), with the Euclidean norm
over the array.)");
  define<conv2d_backward_bias>(m, "conv2d_backward_bias(grad_output, *, out=None)",
                               R"(Compute the gradient of conv2d with respect to the bias.

Parameters
----------
grad_output : ndarray, shape (N, out_channels, OH, OW), float32
    Gradient with respect to the output.
out : ndarray, shape (out_channels,), float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape (out_channels,), float32
    The sum of grad_output over images and positions; zeros if N is 0.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If grad_output does not have 4 dimensions, or `out` is not as described above.)");
}

}  // namespace byhand::bindings
