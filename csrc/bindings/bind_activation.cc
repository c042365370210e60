#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "ops/activation.h"

namespace byhand::bindings {
namespace {

template <void (*kOp)(const float*, int64_t, float*)>
py::array forward(py::handle x_object, py::handle out_object) {
  const Input x(x_object, "x");
  const Output<float> out(out_object, "out", x.shape(), {x.original()});
  without_gil([&] { kOp(x.data(), x.size(), out.data()); });
  return out.array();
}

template <void (*kOp)(const float*, const float*, int64_t, float*)>
py::array backward(py::handle dy_object, py::handle y_object, py::handle out_object) {
  const Input dy(dy_object, "grad_output"), y(y_object, "output");
  y.expect(dy.shape(), "that of grad_output");
  const Output<float> out(out_object, "out", dy.shape(), {dy.original(), y.original()});
  without_gil([&] { kOp(dy.data(), y.data(), dy.size(), out.data()); });
  return out.array();
}

py::array add(py::handle a_object, py::handle b_object, py::handle out_object) {
  const Input a(a_object, "a"), b(b_object, "b");
  b.expect(a.shape(), "that of a");
  const Output<float> out(out_object, "out", a.shape(), {a.original(), b.original()});
  without_gil([&] { ops::add(a.data(), b.data(), a.size(), out.data()); });
  return out.array();
}

}  // namespace

void bind_activation(py::module_& m) {
  define<forward<ops::relu>>(m, "relu(x, *, out=None)",
                             R"(max(x, 0) of every value; NaN gives NaN.

x of any shape -> the same shape.)");
  define<backward<ops::relu_backward>>(
      m, "relu_backward(grad_output, output, *, out=None)",
      R"(Gradient of relu's x: grad_output where output > 0 or output is NaN, else 0.

grad_output and output, relu's result, of one shape -> the same shape.)");
  define<forward<ops::tanh>>(
      m, "tanh(x, *, out=None)",
      R"(Hyperbolic tangent of every value, less than 2.5 units in the last place from the true one.

x of any shape -> the same shape. tanh(-x) is exactly -tanh(x); no result is beyond 1; NaN gives NaN.)");
  define<backward<ops::tanh_backward>>(m, "tanh_backward(grad_output, output, *, out=None)",
                                       R"(Gradient of tanh's x: grad_output * (1 - output**2).

grad_output and output, tanh's result, of one shape -> the same shape.)");
  define<forward<ops::sigmoid>>(
      m, "sigmoid(x, *, out=None)",
      R"(1 / (1 + exp(-x)) of every value, less than 2.5 units in the last place from the true one.

x of any shape -> the same shape. Very negative x give results down to the smallest float32, then 0;
NaN gives NaN.)");
  define<backward<ops::sigmoid_backward>>(m, "sigmoid_backward(grad_output, output, *, out=None)",
                                          R"(Gradient of sigmoid's x: grad_output * (1 - output) * output.

grad_output and output, sigmoid's result, of one shape -> the same shape.)");
  define<add>(m, "add(a, b, *, out=None)",
              R"(a + b of every value.

a and b of one shape -> the same shape.)");
}

}  // namespace byhand::bindings
