#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"

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
  const Output<float> y(outs[0], "out[0]", output_shape(s), {x.region()});
  const Output<int32_t> indices(outs[1], "out[1]", output_shape(s), {x.region(), y.region()});
  without_gil([&] { y.device().max_pool2d(s, x.data(), y.data(), indices.data()); });
  return py::make_tuple(y.array(), indices.array());
}

py::object max_pool2d_backward(py::handle dy_object, py::handle indices_object, py::handle shape_object,
                               py::handle out_object) {
  const Input dy(dy_object, "grad_output", 4);
  const ExactInput<int32_t> indices(indices_object, "indices", 0);
  const Shape shape = parse_shape(shape_object, "input_shape", 4);
  require(indices.shape() == dy.shape(), "indices must have shape ", dy.shape(),
          " (the shape of grad_output), got ", indices.shape());
  require(shape[0] == dy.shape()[0] && shape[1] == dy.shape()[1], "input_shape must be (", dy.shape()[0],
          ", ", dy.shape()[1], ", height, width), for the batch and channels of grad_output, got ", shape);
  const Output<float> out(out_object, "out", shape, {dy.region(), indices.region()});
  without_gil([&] {
    out.device().max_pool2d_backward(dy.data(), indices.data(), shape[0] * shape[1],
                                     dy.shape()[2] * dy.shape()[3], shape[2] * shape[3], out.data());
  });
  return out.array();
}

constexpr Pair kNoDilation{1, 1};

py::object avg_pool2d(py::handle x_object, py::handle kernel_size, py::handle stride, py::handle padding,
                      py::handle ceil_mode, py::handle count_include_pad, py::handle out_object) {
  const Input x(x_object, "x", 4);
  const Pool2dShape s = pool_shape(x.shape(), kernel_size, stride, padding, kNoDilation, ceil_mode);
  const Output<float> out(out_object, "out", output_shape(s), {x.region()});
  const bool include_pad = parse_bool(count_include_pad, "count_include_pad");
  without_gil([&] { out.device().avg_pool2d(s, include_pad, x.data(), out.data()); });
  return out.array();
}

py::object avg_pool2d_backward(py::handle dy_object, py::handle shape_object, py::handle kernel_size,
                               py::handle stride, py::handle padding, py::handle ceil_mode,
                               py::handle count_include_pad, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 4);
  const Shape shape = parse_shape(shape_object, "input_shape", 4);
  const Pool2dShape s = pool_shape(shape, kernel_size, stride, padding, kNoDilation, ceil_mode);
  dy.expect(output_shape(s), "the shape of avg_pool2d's output for these arguments");
  const Output<float> out(out_object, "out", shape, {dy.region()});
  const bool include_pad = parse_bool(count_include_pad, "count_include_pad");
  without_gil([&] { out.device().avg_pool2d_backward(s, include_pad, dy.data(), out.data()); });
  return out.array();
}

}  // namespace

void bind_pool2d(py::module_& m) {
  define<max_pool2d>(
      m, "max_pool2d(x, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False, out=None)",
      R"(Take the maximum of each window.

Parameters
----------
x : ndarray, shape (N, channels, H, W), float32
    Images.
kernel_size : int or (int, int)
    Size of the windows, as one number or (height, width).
stride : int or (int, int), optional
    Distance between neighbouring windows. It is kernel_size if not given, so that windows do
    not overlap if the dilation is 1.
padding : int, (int, int) or ((int, int), (int, int)), default 0
    Width of the border around each image: one number for every side, (height, width), or
    ((top, bottom), (left, right)). The border has no values, so a maximum is never there.
dilation : int or (int, int), default 1
    Distance between neighbouring inputs of a window, as one number or (height, width).
ceil_mode : bool, default False
    Whether to round the size of the output up instead of down. A last window that would begin
    in the padding after the input, or beyond that padding, is dropped.
out : (ndarray, ndarray), optional
    Receive the results. They must be writable and C-contiguous, and must overlap neither x nor
    each other. For an item that is None, the function makes a new array.

Returns
-------
output : ndarray, shape (N, channels, OH, OW), float32
    The maxima. OH = floor((H + top + bottom - dilation * (KH - 1) - 1) / stride) + 1, and OW
    likewise. With ceil_mode, ceil takes the place of floor.
indices : ndarray, shape (N, channels, OH, OW), int32
    Position of each maximum in its plane of x: row * W + column.

Raises
------
TypeError
    If x is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If x does not have 4 dimensions, a window is larger than the padded image, a plane has
    2**31 values or more, or `out` is not as described above.

Notes
-----
If several values of a window are the largest, the first one counts. A NaN counts as larger than
any number, and the last NaN of a window counts. A window without any input gives -inf and the
index -1.)");
  define<max_pool2d_backward>(m, "max_pool2d_backward(grad_output, indices, input_shape, *, out=None)",
                              R"(Compute the gradient of max_pool2d with respect to x.

Parameters
----------
grad_output : ndarray, shape (N, channels, OH, OW), float32
    Gradient with respect to the output.
indices : ndarray, shape of grad_output, int32
    The indices of `max_pool2d`. A gradient whose index is -1 is dropped.
input_shape : (int, int, int, int)
    Shape of x, (N, channels, H, W).
out : ndarray, shape input_shape, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape input_shape, float32
    Gradient with respect to x. Each value of grad_output is added at the position of its
    maximum.

Raises
------
TypeError
    If an array has the wrong dtype, or input_shape is not a sequence of integers.
ValueError
    If the shapes do not agree, an index is not from -1 to H * W - 1, or `out` is not as
    described above.)");
  define<avg_pool2d>(
      m,
      "avg_pool2d(x, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True, "
      "out=None)",
      R"(Take the mean of each window.

Parameters
----------
x : ndarray, shape (N, channels, H, W), float32
    Images.
kernel_size : int or (int, int)
    Size of the windows, as one number or (height, width).
stride : int or (int, int), optional
    Distance between neighbouring windows. It is kernel_size if not given, so that windows do
    not overlap.
padding : int, (int, int) or ((int, int), (int, int)), default 0
    Rows and columns of zeros around each image: one number for every side, (height, width), or
    ((top, bottom), (left, right)).
ceil_mode : bool, default False
    Whether to round the size of the output up instead of down. A last window that would begin
    in the padding after the input, or beyond that padding, is dropped.
count_include_pad : bool, default True
    Whether the divisor of a window counts its cells in the padding. Cells beyond the padding,
    which ceil_mode may reach, never count.
out : ndarray, shape (N, channels, OH, OW), float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape (N, channels, OH, OW), float32
    The means. OH and OW are those of `max_pool2d`. A window without any input gives 0.

Raises
------
TypeError
    If x is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If x does not have 4 dimensions, a window is larger than the padded image, or `out` is not
    as described above.)");
  define<avg_pool2d_backward>(
      m,
      "avg_pool2d_backward(grad_output, input_shape, kernel_size, *, stride=None, padding=0, "
      "ceil_mode=False, count_include_pad=True, out=None)",
      R"(Compute the gradient of avg_pool2d with respect to x.

Parameters
----------
grad_output : ndarray, shape (N, channels, OH, OW), float32
    Gradient with respect to the output.
input_shape : (int, int, int, int)
    Shape of x, (N, channels, H, W).
kernel_size : int or (int, int)
    As given to `avg_pool2d`.
stride, padding, ceil_mode, count_include_pad : optional
    As given to `avg_pool2d`.
out : ndarray, shape input_shape, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape input_shape, float32
    Gradient with respect to x. Each value of grad_output is divided by the divisor of its
    window, and the quotient is added to the gradient of each input of the window.

Raises
------
TypeError
    If grad_output is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If the shapes do not agree, or `out` is not as described above.)");
}

}  // namespace byhand::bindings
