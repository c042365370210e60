#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"

namespace byhand::bindings {
namespace {

template <auto kOp>
py::object forward(py::handle x_object, py::handle out_object) {
  const Input x(x_object, "x");
  const Output<float> out(out_object, "out", x.shape(), {x.region()});
  without_gil([&] { (out.device().*kOp)(x.data(), x.size(), out.data()); });
  return out.array();
}

template <auto kOp>
py::object backward(py::handle dy_object, py::handle y_object, py::handle out_object) {
  const Input dy(dy_object, "grad_output"), y(y_object, "output");
  y.expect(dy.shape(), "the shape of grad_output");
  const Output<float> out(out_object, "out", dy.shape(), {dy.region(), y.region()});
  without_gil([&] { (out.device().*kOp)(dy.data(), y.data(), dy.size(), out.data()); });
  return out.array();
}

py::object add(py::handle a_object, py::handle b_object, py::handle out_object) {
  const Input a(a_object, "a"), b(b_object, "b");
  b.expect(a.shape(), "the shape of a");
  const Output<float> out(out_object, "out", a.shape(), {a.region(), b.region()});
  without_gil([&] { out.device().add(a.data(), b.data(), a.size(), out.data()); });
  return out.array();
}

}  // namespace

void bind_activation(py::module_& m) {
  define<forward<&Device::relu>>(m, "relu(x, *, out=None)", R"(Compute max(x, 0) for every value x.

Parameters
----------
x : ndarray, any shape, float32
    Input.
out : ndarray, shape of x, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of x, float32
    The output. It is NaN where x is NaN.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If `out` is not as described above.)");
  define<backward<&Device::relu_backward>>(m, "relu_backward(grad_output, output, *, out=None)",
                                           R"(Compute the gradient of relu with respect to x.

Parameters
----------
grad_output : ndarray, any shape, float32
    Gradient with respect to the output.
output : ndarray, shape of grad_output, float32
    The output of `relu`.
out : ndarray, shape of grad_output, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of grad_output, float32
    grad_output where output is positive or NaN, and 0 elsewhere.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If the shapes differ, or `out` is not as described above.)");
  define<forward<&Device::tanh>>(m, "tanh(x, *, out=None)", R"(Compute the hyperbolic tangent of every value.

Parameters
----------
x : ndarray, any shape, float32
    Input.
out : ndarray, shape of x, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of x, float32
    The output, from -1 to 1. It is NaN where x is NaN.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If `out` is not as described above.

Notes
-----
The error is less than 2.5 units in the last place. tanh(-x) is exactly -tanh(x).)");
  define<backward<&Device::tanh_backward>>(
      m, "tanh_backward(grad_output, output, *, out=None)",
      R"(Compute the gradient of tanh with respect to x: grad_output * (1 - output**2).

Parameters
----------
grad_output : ndarray, any shape, float32
    Gradient with respect to the output.
output : ndarray, shape of grad_output, float32
    The output of `tanh`.
out : ndarray, shape of grad_output, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of grad_output, float32
    Gradient with respect to x.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If the shapes differ, or `out` is not as described above.)");
  define<forward<&Device::sigmoid>>(m, "sigmoid(x, *, out=None)",
                                    R"(Compute the logistic function, 1 / (1 + exp(-x)), of every value.

Parameters
----------
x : ndarray, any shape, float32
    Input.
out : ndarray, shape of x, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of x, float32
    The output, from 0 to 1. It is NaN where x is NaN.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If `out` is not as described above.

Notes
-----
The error is less than 2.5 units in the last place. For very negative x the result falls to
the smallest positive float32 number and then to 0.)");
  define<backward<&Device::sigmoid_backward>>(
      m, "sigmoid_backward(grad_output, output, *, out=None)",
      R"(Compute the gradient of sigmoid with respect to x: grad_output * (1 - output) * output.

Parameters
----------
grad_output : ndarray, any shape, float32
    Gradient with respect to the output.
output : ndarray, shape of grad_output, float32
    The output of `sigmoid`.
out : ndarray, shape of grad_output, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of grad_output, float32
    Gradient with respect to x.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If the shapes differ, or `out` is not as described above.)");
  define<add>(m, "add(a, b, *, out=None)", R"(Add two arrays of the same shape.

Parameters
----------
a : ndarray, any shape, float32
    First array.
b : ndarray, shape of a, float32
    Second array. It is not broadcast.
out : ndarray, shape of a, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of a, float32
    a + b.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If the shapes differ, or `out` is not as described above.

See Also
--------
accumulate : add to an array in place.)");
}

}  // namespace byhand::bindings
