#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "core/check.h"
#include "ops/linear.h"

namespace byhand::bindings {
namespace {

py::array linear_act(py::handle x_object, py::handle weight_object, py::handle bias_object,
                     py::handle activation_object, py::handle out_object) {
  const MatrixInput x(x_object, "x"), weight(weight_object, "weight");
  require(weight.matrix().columns == x.matrix().columns, "weight must have shape (out_features, ",
          x.matrix().columns, "), for the ", x.matrix().columns, " columns of x, got ",
          Shape{weight.matrix().rows, weight.matrix().columns});
  const Shape shape{x.matrix().rows, weight.matrix().rows};
  const OptionalInput bias(bias_object, "bias", 1);
  bias.expect({shape[1]}, "a value for each row of weight");
  const ops::Activation activation = parse_activation(activation_object);
  const Output<float> out(out_object, "out", shape, {x.original(), weight.original(), bias.original()});
  without_gil(ops::multiply_adds(x.matrix(), weight.matrix().transposed()),
              [&] { ops::linear(x.matrix(), weight.matrix(), bias.data(), activation, out.data()); });
  return out.array();
}

py::array linear(py::handle x, py::handle weight, py::handle bias, py::handle out) {
  return linear_act(x, weight, bias, py::none(), out);
}

py::array linear_backward_input(py::handle dy_object, py::handle weight_object, py::handle out_object) {
  const MatrixInput dy(dy_object, "grad_output"), weight(weight_object, "weight");
  require(weight.matrix().rows == dy.matrix().columns, "weight must have shape (", dy.matrix().columns,
          ", in_features), a row for each column of grad_output, got ",
          Shape{weight.matrix().rows, weight.matrix().columns});
  const Output<float> out(out_object, "out", {dy.matrix().rows, weight.matrix().columns},
                          {dy.original(), weight.original()});
  without_gil(ops::multiply_adds(dy.matrix(), weight.matrix()),
              [&] { ops::linear_backward_input(dy.matrix(), weight.matrix(), out.data()); });
  return out.array();
}

py::array linear_backward_weight(py::handle dy_object, py::handle x_object, py::handle out_object) {
  const MatrixInput dy(dy_object, "grad_output"), x(x_object, "x");
  require(x.matrix().rows == dy.matrix().rows, "x must have ", dy.matrix().rows,
          " rows, as many as grad_output, got ", x.matrix().rows);
  const Output<float> out(out_object, "out", {dy.matrix().columns, x.matrix().columns},
                          {dy.original(), x.original()});
  without_gil(ops::multiply_adds(dy.matrix().transposed(), x.matrix()),
              [&] { ops::linear_backward_weight(dy.matrix(), x.matrix(), out.data()); });
  return out.array();
}

py::array linear_backward_bias(py::handle dy_object, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 2);
  const Output<float> out(out_object, "out", {dy.shape()[1]}, {dy.original()});
  without_gil([&] { ops::linear_backward_bias(dy.data(), dy.shape()[0], dy.shape()[1], out.data()); });
  return out.array();
}

py::tuple linear_act_backward(py::handle dy_object, py::handle y_object, py::handle x_object,
                              py::handle weight_object, py::handle activation_object,
                              py::handle input_gradient, py::handle bias_gradient, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 2);
  const ops::Activation activation = parse_activation(activation_object);
  std::optional<Input> y;
  if (activation != ops::Activation::kNone || !y_object.is_none()) y.emplace(y_object, "output", 2);
  if (y) y->expect(dy.shape(), "that of grad_output");
  const MatrixInput x(x_object, "x"), weight(weight_object, "weight");
  const Shape x_shape{x.matrix().rows, x.matrix().columns};
  const Shape weight_shape{weight.matrix().rows, weight.matrix().columns};
  require(x_shape[0] == dy.shape()[0], "x must have ", dy.shape()[0], " rows, as many as grad_output, got ",
          x_shape);
  require(weight_shape == Shape{dy.shape()[1], x_shape[1]}, "weight must have shape ",
          Shape{dy.shape()[1], x_shape[1]}, ", (columns of grad_output, columns of x), got ", weight_shape);
  const Gradients grads(out_object, input_gradient, bias_gradient, x_shape, weight_shape, {dy.shape()[1]},
                        {dy.original(), y ? y->original() : dy.original(), x.original(), weight.original()});
  const ops::LinearGradients gradients{
      dy.data(), y ? y->data() : nullptr, x.matrix(), weight.matrix(), grads.dx(), grads.dw(), grads.db()};
  without_gil(2 * ops::multiply_adds(x.matrix(), weight.matrix().transposed()),
              [&] { ops::linear_act_backward(activation, gradients); });
  return grads.arrays();
}

}  // namespace

void bind_linear(py::module_& m) {
  define<linear>(m, "linear(x, weight, bias=None, *, out=None)",
                 R"(Fully connected layer: x @ weight.T + bias.

x (n, in_features), weight (out_features, in_features), bias (out_features,) -> (n, out_features).
x and weight may have any strides.)");
  define<linear_act>(
      m, "linear_act(x, weight, bias=None, activation='relu', *, out=None)",
      R"(Fully connected layer with its activation, in one pass: activation(x @ weight.T + bias).

activation is "relu", "tanh", "sigmoid" or None; the other arguments, and every bit of the result, are
those of linear and then of the function of that name.)");
  define<linear_backward_input>(m, "linear_backward_input(grad_output, weight, *, out=None)",
                                R"(Gradient of linear's x: grad_output @ weight.

grad_output (n, out_features), weight (out_features, in_features) -> (n, in_features).)");
  define<linear_backward_weight>(m, "linear_backward_weight(grad_output, x, *, out=None)",
                                 R"(Gradient of linear's weight: grad_output.T @ x.

grad_output (n, out_features), x (n, in_features) -> (out_features, in_features); zeros for n = 0.)");
  define<linear_backward_bias>(m, "linear_backward_bias(grad_output, *, out=None)",
                               R"(Gradient of linear's bias: the sum of grad_output over its rows.

grad_output (n, out_features) -> (out_features,); zeros for n = 0.)");
  define<linear_act_backward>(
      m,
      "linear_act_backward(grad_output, output, x, weight, activation='relu', *, input_gradient=True, "
      "bias_gradient=True, out=None)",
      R"(Gradients of linear_act, in one pass: (grad_x, grad_weight, grad_bias).

output is what linear_act returned; it may be None where activation is None. grad_output has its shape; the other arguments are linear_act's. Every bit is that of the activation's
backward function and then of linear's three. grad_x is None where input_gradient is False, grad_bias where
bias_gradient is.)");
}

}  // namespace byhand::bindings
