#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "bindings/reduction.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

py::object squared_error(py::handle prediction_object, py::handle target_object, py::handle reduction_object,
                         py::handle out_object) {
  const Input prediction(prediction_object, "prediction"), target(target_object, "target");
  target.expect(prediction.shape(), "the shape of prediction");
  const Reduction reduction = parse_reduction(reduction_object);
  if (reduction == Reduction::kNone) {
    const Output<float> out(out_object, "out", prediction.shape(), {prediction.region(), target.region()});
    without_gil([&] {
      out.device().squared_errors(prediction.data(), target.data(), prediction.size(), out.data());
    });
    return out.array();
  }
  require(out_object.is_none(),
          "out must be None unless reduction is \"none\", because the loss is a number");
  const Device& device = common_device({prediction.region(), target.region()});
  ScalarOutput<float> loss(device);
  without_gil([&] {
    device.squared_error(prediction.data(), target.data(), prediction.size(), reduction, loss.data());
  });
  return loss.object();
}

py::object squared_error_backward(py::handle prediction_object, py::handle target_object,
                                  py::handle grad_loss_object, py::handle reduction_object,
                                  py::handle out_object) {
  const Input prediction(prediction_object, "prediction"), target(target_object, "target");
  target.expect(prediction.shape(), "the shape of prediction");
  const Reduction reduction = parse_reduction(reduction_object);
  const GradLossInput grad_loss(grad_loss_object, reduction, prediction.shape());
  const Output<float> out(out_object, "out", prediction.shape(),
                          {prediction.region(), target.region(), grad_loss.region()});
  without_gil([&] {
    out.device().squared_error_backward(prediction.data(), target.data(), prediction.size(), reduction,
                                        grad_loss.grad_loss(), out.data());
  });
  return out.array();
}

}  // namespace

void bind_squared_error(py::module_& m) {
  define<squared_error>(m, "squared_error(prediction, target, *, reduction='mean', out=None)",
                        R"(Compute the squared error, (prediction - target)**2.

Parameters
----------
prediction : ndarray, any shape, float32
    Output of a network.
target : ndarray, shape of prediction, float32
    The values that the prediction should have.
reduction : {"mean", "sum", "none"}, default "mean"
    Whether to return the mean of the squares, their sum, or each of them.
out : ndarray, shape of prediction, float32, optional
    Receives the squared errors if reduction is "none". It must be writable and C-contiguous,
    and must not overlap an input. With any other reduction, `out` must be None.

Returns
-------
numpy.float32, or ndarray of the shape of prediction, float32, with reduction "none"
    The loss. A mean over no value is NaN.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If the shapes differ, the reduction is unknown, or `out` is not as described above.

Notes
-----
Sums are taken in double precision.)");
  define<squared_error_backward>(
      m, "squared_error_backward(prediction, target, grad_loss=None, *, reduction='mean', out=None)",
      R"(Compute the gradient of squared_error with respect to the prediction.

Parameters
----------
prediction, target : ndarray, float32
    As given to `squared_error`.
grad_loss : float, or ndarray of prediction's shape, float32, with reduction "none", optional
    Gradient with respect to the loss that was returned. None means 1.
reduction : {"mean", "sum", "none"}, default "mean"
    As given to `squared_error`.
out : ndarray, shape of prediction, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of prediction, float32
    Gradient with respect to the prediction: 2 * (prediction - target) * grad_loss. With
    reduction "mean", it is divided by the number of values.

Raises
------
TypeError
    If an array is not a float32 ndarray, or grad_loss is not a number.
ValueError
    If the shapes differ, the reduction is unknown, or `out` is not as described above.)");
}

}  // namespace byhand::bindings
