#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/reduction.h"
#include "core/check.h"
#include "ops/squared_error.h"

namespace byhand::bindings {
namespace {

py::object squared_error(py::handle prediction_object, py::handle target_object, py::handle reduction_object,
                         py::handle out_object) {
  const Input prediction(prediction_object, "prediction"), target(target_object, "target");
  target.expect(prediction.shape(), "that of prediction");
  const Reduction reduction = parse_reduction(reduction_object);
  if (reduction == Reduction::kNone) {
    const Output<float> out(out_object, "out", prediction.shape(),
                            {prediction.original(), target.original()});
    without_gil(
        [&] { ops::squared_errors(prediction.data(), target.data(), prediction.size(), out.data()); });
    return out.array();
  }
  require(out_object.is_none(), "out must be None, unless reduction is \"none\": the loss is a number");
  float loss = 0;
  without_gil(
      [&] { loss = ops::squared_error(prediction.data(), target.data(), prediction.size(), reduction); });
  return float32_scalar(loss);
}

py::array squared_error_backward(py::handle prediction_object, py::handle target_object,
                                 py::handle grad_loss_object, py::handle reduction_object,
                                 py::handle out_object) {
  const Input prediction(prediction_object, "prediction"), target(target_object, "target");
  target.expect(prediction.shape(), "that of prediction");
  const Reduction reduction = parse_reduction(reduction_object);
  const GradLossInput grad_loss(grad_loss_object, reduction, prediction.shape());
  const Output<float> out(out_object, "out", prediction.shape(),
                          {prediction.original(), target.original(), grad_loss.original()});
  without_gil([&] {
    ops::squared_error_backward(prediction.data(), target.data(), prediction.size(), reduction,
                                grad_loss.grad_loss(), out.data());
  });
  return out.array();
}

}  // namespace

void bind_squared_error(py::module_& m) {
  define<squared_error>(
      m, "squared_error(prediction, target, *, reduction='mean', out=None)",
      R"(Squared error (prediction - target)**2: its mean or sum over all values, or each of them.

prediction and target of one shape; reduction "mean" or "sum" -> numpy.float32, "none" -> that shape.
The mean over no values is NaN. Sums are taken in double precision. `out` is for "none" alone.)");
  define<squared_error_backward>(
      m, "squared_error_backward(prediction, target, grad_loss=None, *, reduction='mean', out=None)",
      R"(Gradient of squared_error's prediction: 2 * (prediction - target) * grad_loss, over the number of
values with reduction "mean".

grad_loss is a number, or with reduction "none" an array of prediction's shape; None stands for 1.
-> prediction's shape.)");
}

}  // namespace byhand::bindings
