#include <optional>

#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "bindings/reduction.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

template <auto kOp>
py::object over_last_axis(py::handle x_object, py::handle out_object) {
  const Input x(x_object, "x");
  require(!x.shape().empty(), "x must have at least 1 dimension, got shape ()");
  const Output<float> out(out_object, "out", x.shape(), {x.region()});
  const int64_t classes = x.shape().back(), rows = classes == 0 ? 0 : x.size() / classes;
  without_gil([&] { (out.device().*kOp)(x.data(), rows, classes, out.data()); });
  return out.array();
}

// The argument `labels` with its options ignore_index and label_smoothing. The labels are integers (rows,) or
// float32 probabilities (rows, classes).
class LabelsInput {
 public:
  LabelsInput(py::handle object, py::handle ignore_index, py::handle smoothing, const Shape& logits) {
    labels_.ignore_index = parse_integer(ignore_index, "ignore_index");
    labels_.smoothing = parse_float(smoothing, "label_smoothing");
    require(labels_.smoothing >= 0 && labels_.smoothing <= 1, "label_smoothing must be from 0 to 1, got ",
            labels_.smoothing);
    // A one-dimensional array of floats is probably meant as classes. IntegerInput refuses it, and the
    // message says how to convert it.
    const AnyArray array(object, "labels", "np.asarray converts it");
    if (array.dimensions() != 1 && array.dtype().kind() == 'f') {
      probabilities_.emplace(object, "labels", 2);
      probabilities_->expect(logits, "one probability per row and class");
      labels_.probabilities = probabilities_->data();
    } else {
      integers_.emplace(object, "labels", 1);
      require(integers_->shape()[0] == logits[0], "labels must have shape ", Shape{logits[0]},
              " (one class per row), got ", integers_->shape());
      labels_.integer = integers_->data();
    }
  }
  const ops::Labels& labels() const { return labels_; }
  const Region& region() const { return integers_ ? integers_->region() : probabilities_->region(); }

 private:
  std::optional<IntegerInput> integers_;
  std::optional<Input> probabilities_;
  ops::Labels labels_{};
};

py::tuple softmax_cross_entropy(py::handle logits_object, py::handle labels_object, py::handle ignore_index,
                                py::handle label_smoothing, py::handle reduction_object,
                                py::handle out_object) {
  const Input logits(logits_object, "logits", 2);
  const LabelsInput labels(labels_object, ignore_index, label_smoothing, logits.shape());
  const Reduction reduction = parse_reduction(reduction_object);
  const int64_t rows = logits.shape()[0], classes = logits.shape()[1];
  if (reduction == Reduction::kNone) {
    const std::vector<py::object> outs = unpack_out(out_object, 2);
    const Output<float> losses(outs[0], "out[0]", {rows}, {logits.region(), labels.region()});
    const Output<float> probabilities(outs[1], "out[1]", logits.shape(),
                                      {logits.region(), labels.region(), losses.region()});
    without_gil([&] {
      losses.device().softmax_cross_entropies(logits.data(), labels.labels(), rows, classes, losses.data(),
                                              probabilities.data());
    });
    return py::make_tuple(losses.array(), probabilities.array());
  }
  const Output<float> probabilities(out_object, "out", logits.shape(), {logits.region(), labels.region()});
  ScalarOutput<float> loss(probabilities.device());
  without_gil([&] {
    probabilities.device().softmax_cross_entropy(logits.data(), labels.labels(), rows, classes, reduction,
                                                 probabilities.data(), loss.data());
  });
  return py::make_tuple(loss.object(), probabilities.array());
}

py::object softmax_cross_entropy_backward(py::handle probabilities_object, py::handle labels_object,
                                          py::handle grad_loss_object, py::handle ignore_index,
                                          py::handle label_smoothing, py::handle reduction_object,
                                          py::handle out_object) {
  const Input probabilities(probabilities_object, "probabilities", 2);
  const Shape& shape = probabilities.shape();
  const LabelsInput labels(labels_object, ignore_index, label_smoothing, shape);
  const Reduction reduction = parse_reduction(reduction_object);
  const GradLossInput grad_loss(grad_loss_object, reduction, {shape[0]});
  const Output<float> out(out_object, "out", shape,
                          {probabilities.region(), labels.region(), grad_loss.region()});
  without_gil([&] {
    out.device().softmax_cross_entropy_backward(probabilities.data(), labels.labels(), shape[0], shape[1],
                                                reduction, grad_loss.grad_loss(), out.data());
  });
  return out.array();
}

}  // namespace

void bind_softmax_cross_entropy(py::module_& m) {
  define<over_last_axis<&Device::softmax>>(m, "softmax(x, *, out=None)",
                                           R"(Compute exp(x) / sum(exp(x)) over the last axis.

Parameters
----------
x : ndarray, shape (..., classes), float32
    Logits, of at least one dimension.
out : ndarray, shape of x, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of x, float32
    Probabilities, which add up to 1 over the last axis. A row is NaN if it contains NaN or
    +inf, or if all its values are -inf.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If x has no dimension, or `out` is not as described above.

Notes
-----
The result is computed from the exponentials of x - max(x), so that none of them overflows.)");
  define<over_last_axis<&Device::log_softmax>>(m, "log_softmax(x, *, out=None)",
                                               R"(Compute the logarithm of softmax over the last axis.

Parameters
----------
x : ndarray, shape (..., classes), float32
    Logits, of at least one dimension.
out : ndarray, shape of x, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of x, float32
    Logarithms of the probabilities. A row is NaN if it contains NaN or +inf, or if all its
    values are -inf.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If x has no dimension, or `out` is not as described above.

Notes
-----
The result is computed as x - max(x) - log(sum(exp(x - max(x)))), which neither overflows nor
takes the logarithm of 0.)");
  define<softmax_cross_entropy>(
      m,
      "softmax_cross_entropy(logits, labels, *, ignore_index=-100, label_smoothing=0.0, reduction='mean', "
      "out=None)",
      R"(Compute the cross-entropy of softmax(logits) and labels.

Parameters
----------
logits : ndarray, shape (N, classes), float32
    A score for each row and class.
labels : ndarray, shape (N,), any integer dtype, or shape (N, classes), float32
    The class of each row, or a probability for each row and class.
ignore_index : int, default -100
    Rows with this integer label are ignored: their loss is 0, and the mean does not count
    them. Any integer is allowed.
label_smoothing : float, default 0.0
    Share e of each row's target, from 0 to 1, that is spread evenly over all classes.
reduction : {"mean", "sum", "none"}, default "mean"
    Whether to return the mean of the losses, their sum, or each of them.
out : ndarray, or (ndarray, ndarray) with reduction "none", optional
    Receives the probabilities, or the losses and the probabilities with reduction "none". The
    arrays must be writable and C-contiguous, and must overlap neither an input nor each other.

Returns
-------
loss : numpy.float32, or ndarray of shape (N,), float32, with reduction "none"
    The loss. A mean over no row is NaN.
probabilities : ndarray, shape (N, classes), float32
    softmax(logits), which the backward function needs.

Raises
------
TypeError
    If an array has the wrong dtype, or another argument has the wrong type.
ValueError
    If the shapes do not agree, a label is neither a class nor ignore_index, label_smoothing is
    out of range, the reduction is unknown, or `out` is not as described above.

Notes
-----
The loss of a row is -sum(t * log_softmax(logits)). The target t of an integer label is 1 for
its class and 0 for the others. Label smoothing turns t into (1 - e) * t + e / classes. A
target of 0 adds no loss, even if the logit is -inf. The losses of the rows are added in double
precision.

References
----------
I. Goodfellow et al., Deep Learning, 2016, section 6.2.2. Label smoothing: C. Szegedy et al.,
Rethinking the Inception architecture for computer vision, arXiv:1512.00567.)");
  define<softmax_cross_entropy_backward>(
      m,
      "softmax_cross_entropy_backward(probabilities, labels, grad_loss=None, *, ignore_index=-100, "
      "label_smoothing=0.0, reduction='mean', out=None)",
      R"(Compute the gradient of softmax_cross_entropy with respect to the logits.

Parameters
----------
probabilities : ndarray, shape (N, classes), float32
    The probabilities that `softmax_cross_entropy` returned.
labels : ndarray, shape (N,), any integer dtype, or shape (N, classes), float32
    As given to `softmax_cross_entropy`.
grad_loss : float, or ndarray of shape (N,), float32, with reduction "none", optional
    Gradient with respect to the loss that was returned. None means 1.
ignore_index, label_smoothing, reduction : optional
    As given to `softmax_cross_entropy`.
out : ndarray, shape (N, classes), float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape (N, classes), float32
    Gradient with respect to the logits. It is 0 in ignored rows.

Raises
------
TypeError
    If an array has the wrong dtype, or another argument has the wrong type.
ValueError
    If the shapes do not agree, a label is neither a class nor ignore_index, label_smoothing is
    out of range, the reduction is unknown, or `out` is not as described above.

Notes
-----
With the targets t of `softmax_cross_entropy`, the gradient of a row is
(probabilities * sum(t) - t) * grad_loss. With reduction "mean", it is divided by the number of
rows that are not ignored.)");
}

}  // namespace byhand::bindings
