#include <optional>

#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/reduction.h"
#include "core/check.h"
#include "ops/softmax_cross_entropy.h"

namespace byhand::bindings {
namespace {

template <void (*kOp)(const float*, int64_t, int64_t, float*)>
py::array over_last_axis(py::handle x_object, py::handle out_object) {
  const Input x(x_object, "x");
  require(!x.shape().empty(), "x must have at least 1 dimension, got shape ()");
  const Output<float> out(out_object, "out", x.shape(), {x.original()});
  const int64_t classes = x.shape().back(), rows = classes == 0 ? 0 : x.size() / classes;
  without_gil([&] { kOp(x.data(), rows, classes, out.data()); });
  return out.array();
}

// labels (rows,) of integers, or (rows, classes) of float32.
class LabelsInput {
 public:
  LabelsInput(py::handle object, py::handle ignore_index, py::handle smoothing, const Shape& logits) {
    labels_.ignore_index = parse_integer(ignore_index, "ignore_index");
    labels_.smoothing = parse_float(smoothing, "label_smoothing");
    require(labels_.smoothing >= 0 && labels_.smoothing <= 1, "label_smoothing must be from 0 to 1, got ",
            labels_.smoothing);
    // One-dimensional floats are probably meant as classes. IntegerInput refuses them with the right advice.
    if (py::isinstance<py::array>(object) && py::reinterpret_borrow<py::array>(object).ndim() != 1 &&
        py::reinterpret_borrow<py::array>(object).dtype().kind() == 'f') {
      probabilities_.emplace(object, "labels", 2);
      probabilities_->expect(logits, "a probability for each row and class");
      labels_.probabilities = probabilities_->data();
    } else {
      integers_.emplace(object, "labels", 1);
      require(integers_->shape()[0] == logits[0], "labels must have shape ", Shape{logits[0]},
              ", a class for each row, got ", integers_->shape());
      labels_.integer = integers_->data();
    }
  }
  const ops::Labels& labels() const { return labels_; }
  const py::array& original() const { return integers_ ? integers_->original() : probabilities_->original(); }

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
    const Output<float> losses(outs[0], "out[0]", {rows}, {logits.original(), labels.original()});
    const Output<float> probabilities(outs[1], "out[1]", logits.shape(),
                                      {logits.original(), labels.original(), losses.array()});
    without_gil([&] {
      ops::softmax_cross_entropies(logits.data(), labels.labels(), rows, classes, losses.data(),
                                   probabilities.data());
    });
    return py::make_tuple(losses.array(), probabilities.array());
  }
  const Output<float> probabilities(out_object, "out", logits.shape(),
                                    {logits.original(), labels.original()});
  float loss = 0;
  without_gil([&] {
    loss = ops::softmax_cross_entropy(logits.data(), labels.labels(), rows, classes, reduction,
                                      probabilities.data());
  });
  return py::make_tuple(float32_scalar(loss), probabilities.array());
}

py::array softmax_cross_entropy_backward(py::handle probabilities_object, py::handle labels_object,
                                         py::handle grad_loss_object, py::handle ignore_index,
                                         py::handle label_smoothing, py::handle reduction_object,
                                         py::handle out_object) {
  const Input probabilities(probabilities_object, "probabilities", 2);
  const Shape& shape = probabilities.shape();
  const LabelsInput labels(labels_object, ignore_index, label_smoothing, shape);
  const Reduction reduction = parse_reduction(reduction_object);
  const GradLossInput grad_loss(grad_loss_object, reduction, {shape[0]});
  const Output<float> out(out_object, "out", shape,
                          {probabilities.original(), labels.original(), grad_loss.original()});
  without_gil([&] {
    ops::softmax_cross_entropy_backward(probabilities.data(), labels.labels(), shape[0], shape[1], reduction,
                                        grad_loss.grad_loss(), out.data());
  });
  return out.array();
}

}  // namespace

void bind_softmax_cross_entropy(py::module_& m) {
  define<over_last_axis<ops::softmax>>(
      m, "softmax(x, *, out=None)",
      R"(exp(x) / sum(exp(x)) over the last axis, taken from x - max(x): no overflow.

x of any shape with at least one dimension -> the same shape. A row with NaN or +inf, or of -inf
alone, gives NaN.)");
  define<over_last_axis<ops::log_softmax>>(
      m, "log_softmax(x, *, out=None)",
      R"(x - max(x) - log(sum(exp(x - max(x)))) over the last axis: the logarithm of softmax(x).

x of any shape with at least one dimension -> the same shape. A row with NaN or +inf, or of -inf
alone, gives NaN.)");
  define<softmax_cross_entropy>(
      m,
      "softmax_cross_entropy(logits, labels, *, ignore_index=-100, label_smoothing=0.0, reduction='mean', "
      "out=None)",
      R"(Cross entropy of softmax(logits) against labels: (loss, probabilities).

logits (n, classes). labels are (n,) integers, a class each, or (n, classes) float32 probabilities t.
The loss of a row is -sum(t * log_softmax(logits)), where an integer label is t = 1 for its class;
label_smoothing e makes it (1 - e) * t + e / classes. A target of 0 costs 0 even at a logit of -inf.
Rows whose integer label is ignore_index, which may be any integer, cost 0 and don't count in the mean.

reduction "mean" or "sum": the loss is a numpy.float32, summed in double precision, and `out` takes the
probabilities, softmax(logits). "none": the losses are (n,), and `out` is a pair. A mean over no rows
is NaN. Raises ValueError for a label that is neither a class nor ignore_index.

Source: Goodfellow et al., Deep Learning (2016), section 6.2.2; smoothing: Szegedy et al.,
arXiv 1512.00567.)");
  define<softmax_cross_entropy_backward>(
      m,
      "softmax_cross_entropy_backward(probabilities, labels, grad_loss=None, *, ignore_index=-100, "
      "label_smoothing=0.0, reduction='mean', out=None)",
      R"(Gradient of softmax_cross_entropy's logits: (probabilities * sum(t) - t) * grad_loss in each row, over
the number of rows that count with reduction "mean"; 0 in ignored rows.

probabilities (n, classes) as softmax_cross_entropy returned them, the other arguments as it took them.
grad_loss is a number, or with reduction "none" an array (n,); None stands for 1. -> (n, classes).)");
}

}  // namespace byhand::bindings
