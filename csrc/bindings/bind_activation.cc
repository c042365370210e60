#include "bindings/arrays.h"
#include "bindings/bind.h"
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

}  // namespace

void bind_activation(py::module_& m) {
  m.def("relu", forward<ops::relu>, py::arg("x"), py::kw_only(), py::arg("out") = py::none(),
        R"(max(x, 0) of every value; NaN gives NaN.

x of any shape -> the same shape.)");
  m.def("relu_backward", backward<ops::relu_backward>, py::arg("grad_output"), py::arg("output"),
        py::kw_only(), py::arg("out") = py::none(),
        R"(Gradient of relu's x: grad_output where output > 0 or output is NaN, else 0.

grad_output and output, relu's result, of one shape -> the same shape.)");
  m.def("tanh", forward<ops::tanh>, py::arg("x"), py::kw_only(), py::arg("out") = py::none(),
        R"(Hyperbolic tangent of every value, less than 2.5 units in the last place from the true one.

x of any shape -> the same shape. tanh(-x) is exactly -tanh(x); no result is beyond 1; NaN gives NaN.)");
  m.def("tanh_backward", backward<ops::tanh_backward>, py::arg("grad_output"), py::arg("output"),
        py::kw_only(), py::arg("out") = py::none(),
        R"(Gradient of tanh's x: grad_output * (1 - output**2).

grad_output and output, tanh's result, of one shape -> the same shape.)");
  m.def("sigmoid", forward<ops::sigmoid>, py::arg("x"), py::kw_only(), py::arg("out") = py::none(),
        R"(1 / (1 + exp(-x)) of every value, less than 2.5 units in the last place from the true one.

x of any shape -> the same shape. Very negative x give results down to the smallest float32, then 0;
NaN gives NaN.)");
  m.def("sigmoid_backward", backward<ops::sigmoid_backward>, py::arg("grad_output"), py::arg("output"),
        py::kw_only(), py::arg("out") = py::none(),
        R"(Gradient of sigmoid's x: grad_output * (1 - output) * output.

grad_output and output, sigmoid's result, of one shape -> the same shape.)");
}

}  // namespace byhand::bindings
