#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

py::object linear_act(py::handle x_object, py::handle weight_object, py::handle bias_object,
                      py::handle activation_object, py::handle out_object) {
  const MatrixInput x(x_object, "x"), weight(weight_object, "weight");
  require(weight.matrix().columns == x.matrix().columns, "weight must have shape (out_features, ",
          x.matrix().columns, "), because x has ", x.matrix().columns, " columns, got ",
          Shape{weight.matrix().rows, weight.matrix().columns});
  const Shape shape{x.matrix().rows, weight.matrix().rows};
  const OptionalInput bias(bias_object, "bias", 1);
  bias.expect({shape[1]}, "one value per row of weight");
  const ops::Activation activation = parse_activation(activation_object);
  const Output<float> out(out_object, "out", shape, {x.region(), weight.region(), bias.region()});
  without_gil(out.device(), ops::multiply_adds(x.matrix(), weight.matrix().transposed()),
              [&] { out.device().linear(x.matrix(), weight.matrix(), bias.data(), activation, out.data()); });
  return out.array();
}

py::object linear(py::handle x, py::handle weight, py::handle bias, py::handle out) {
  return linear_act(x, weight, bias, py::none(), out);
}

py::object linear_backward_input(py::handle dy_object, py::handle weight_object, py::handle out_object) {
  const MatrixInput dy(dy_object, "grad_output"), weight(weight_object, "weight");
  require(weight.matrix().rows == dy.matrix().columns, "weight must have shape (", dy.matrix().columns,
          ", in_features), because grad_output has ", dy.matrix().columns, " columns, got ",
          Shape{weight.matrix().rows, weight.matrix().columns});
  const Output<float> out(out_object, "out", {dy.matrix().rows, weight.matrix().columns},
                          {dy.region(), weight.region()});
  without_gil(out.device(), ops::multiply_adds(dy.matrix(), weight.matrix()),
              [&] { out.device().linear_backward_input(dy.matrix(), weight.matrix(), out.data()); });
  return out.array();
}

py::object linear_backward_weight(py::handle dy_object, py::handle x_object, py::handle out_object) {
  const MatrixInput dy(dy_object, "grad_output"), x(x_object, "x");
  require(x.matrix().rows == dy.matrix().rows, "x must have ", dy.matrix().rows,
          " rows, as grad_output has, got ", x.matrix().rows);
  const Output<float> out(out_object, "out", {dy.matrix().columns, x.matrix().columns},
                          {dy.region(), x.region()});
  without_gil(out.device(), ops::multiply_adds(dy.matrix().transposed(), x.matrix()),
              [&] { out.device().linear_backward_weight(dy.matrix(), x.matrix(), out.data()); });
  return out.array();
}

py::object linear_backward_bias(py::handle dy_object, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 2);
  const Output<float> out(out_object, "out", {dy.shape()[1]}, {dy.region()});
  without_gil(
      [&] { out.device().linear_backward_bias(dy.data(), dy.shape()[0], dy.shape()[1], out.data()); });
  return out.array();
}

py::tuple linear_act_backward(py::handle dy_object, py::handle y_object, py::handle x_object,
                              py::handle weight_object, py::handle activation_object,
                              py::handle input_gradient, py::handle bias_gradient, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 2);
  const ops::Activation activation = parse_activation(activation_object);
  std::optional<Input> y;
  if (activation != ops::Activation::kNone || !y_object.is_none()) y.emplace(y_object, "output", 2);
  if (y) y->expect(dy.shape(), "the shape of grad_output");
  const MatrixInput x(x_object, "x"), weight(weight_object, "weight");
  const Shape x_shape{x.matrix().rows, x.matrix().columns};
  const Shape weight_shape{weight.matrix().rows, weight.matrix().columns};
  require(x_shape[0] == dy.shape()[0], "x must have ", dy.shape()[0], " rows, as grad_output has, got shape ",
          x_shape);
  require(weight_shape == Shape{dy.shape()[1], x_shape[1]}, "weight must have shape ",
          Shape{dy.shape()[1], x_shape[1]}, " (columns of grad_output, columns of x), got ", weight_shape);
  const Gradients grads(out_object, input_gradient, bias_gradient, x_shape, weight_shape, {dy.shape()[1]},
                        {dy.region(), y ? y->region() : dy.region(), x.region(), weight.region()});
  const ops::LinearGradients gradients{
      dy.data(), y ? y->data() : nullptr, x.matrix(), weight.matrix(), grads.dx(), grads.dw(), grads.db()};
  without_gil(grads.device(), 2 * ops::multiply_adds(x.matrix(), weight.matrix().transposed()),
              [&] { grads.device().linear_act_backward(activation, gradients); });
  return grads.arrays();
}

}  // namespace

void bind_linear(py::module_& m) {
  define<linear>(m, "linear(x, weight, bias=None, *, out=None)",
                 R"(Compute a fully connected layer: x @ weight.T + bias.

Parameters
----------
x : ndarray, shape (N, in_features), float32
    Input. It may have any strides and is read without a copy.
weight : ndarray, shape (out_features, in_features), float32
    Weights. They may have any strides and are read without a copy.
bias : ndarray, shape (out_features,), float32, optional
    Values that are added to the output features, one per feature.
out : ndarray, shape (N, out_features), float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape (N, out_features), float32
    The output.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If the shapes do not agree, or `out` is not as described above.)");
  define<linear_act>(m, "linear_act(x, weight, bias=None, activation='relu', *, out=None)",
                     R"(Compute a fully connected layer and its activation, in one pass.

The result, activation(x @ weight.T + bias), has the same bits as `linear` followed by the
activation function.

Parameters
----------
x : ndarray, shape (N, in_features), float32
    Input. It may have any strides and is read without a copy.
weight : ndarray, shape (out_features, in_features), float32
    Weights. They may have any strides and are read without a copy.
bias : ndarray, shape (out_features,), float32, optional
    Values that are added to the output features, one per feature.
activation : {"relu", "tanh", "sigmoid", None}, default "relu"
    Function applied to each output value; None applies nothing.
out : ndarray, shape (N, out_features), float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape (N, out_features), float32
    The output.

Raises
------
TypeError
    If an array is not a float32 ndarray, or activation is neither a string nor None.
ValueError
    If the shapes do not agree, the activation is unknown, or `out` is not as described above.)");
  define<linear_backward_input>(m, "linear_backward_input(grad_output, weight, *, out=None)",
                                R"(Compute the gradient of linear with respect to x: grad_output @ weight.

Parameters
----------
grad_output : ndarray, shape (N, out_features), float32
    Gradient with respect to the output.
weight : ndarray, shape (out_features, in_features), float32
    Weights, as given to `linear`.
out : ndarray, shape (N, in_features), float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape (N, in_features), float32
    Gradient with respect to x.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If the shapes do not agree, or `out` is not as described above.)");
  define<linear_backward_weight>(
      m, "linear_backward_weight(grad_output, x, *, out=None)",
      R"(Compute the gradient of linear with respect to the weight: grad_output.T @ x.

Parameters
----------
grad_output : ndarray, shape (N, out_features), float32
    Gradient with respect to the output.
x : ndarray, shape (N, in_features), float32
    Input, as given to `linear`.
out : ndarray, shape (out_features, in_features), float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape (out_features, in_features), float32
    Gradient with respect to the weight; zeros if N is 0.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If the shapes do not agree, or `out` is not as described above.)");
  define<linear_backward_bias>(m, "linear_backward_bias(grad_output, *, out=None)",
                               R"(Compute the gradient of linear with respect to the bias.

Parameters
----------
grad_output : ndarray, shape (N, out_features), float32
    Gradient with respect to the output.
out : ndarray, shape (out_features,), float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape (out_features,), float32
    The sum of grad_output over its rows; zeros if N is 0.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If grad_output does not have 2 dimensions, or `out` is not as described above.)");
  define<linear_act_backward>(
      m,
      "linear_act_backward(grad_output, output, x, weight, activation='relu', *, input_gradient=True, "
      "bias_gradient=True, out=None)",
      R"(Compute all gradients of linear_act, in one pass.

The results have the same bits as the activation's backward function followed by the three
backward functions of `linear`.

Parameters
----------
grad_output : ndarray, shape (N, out_features), float32
    Gradient with respect to the output.
output : ndarray, shape (N, out_features), float32, or None
    The output of `linear_act`. It may be None if activation is None.
x, weight : ndarray, float32
    As given to `linear_act`.
activation : optional
    As given to `linear_act`.
input_gradient : bool, default True
    Whether to compute grad_x. A network's first layer does not need it.
bias_gradient : bool, default True
    Whether to compute grad_bias.
out : (ndarray, ndarray, ndarray), optional
    Receive the results. They must be writable and C-contiguous, and must overlap neither an
    input nor each other. For an item that is None, the function makes a new array. The item of
    a gradient that is not computed must be None.

Returns
-------
grad_x : ndarray, shape of x, float32, or None
    Gradient with respect to x; None if input_gradient is False.
grad_weight : ndarray, shape of weight, float32
    Gradient with respect to the weight.
grad_bias : ndarray, shape (out_features,), float32, or None
    Gradient with respect to the bias; None if bias_gradient is False.

Raises
------
TypeError
    If an array is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If the shapes do not agree, the activation is unknown, or `out` is not as described above.)");
}

}  // namespace byhand::bindings
