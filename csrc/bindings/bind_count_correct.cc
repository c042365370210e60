#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

py::object count_correct(py::handle scores_object, py::handle labels_object) {
  const Input scores(scores_object, "scores", 2);
  const IntegerInput labels(labels_object, "labels", 1);
  const int64_t rows = scores.shape()[0], classes = scores.shape()[1];
  require(labels.shape()[0] == rows, "labels must have shape ", Shape{rows},
          " (one class per row of scores), got ", labels.shape());
  const Device& device = common_device({scores.region(), labels.region()});
  ScalarOutput<int64_t> count(device);
  without_gil([&] { device.count_correct(scores.data(), labels.data(), rows, classes, count.data()); });
  return count.object();
}

}  // namespace

void bind_count_correct(py::module_& m) {
  define<count_correct>(m, "count_correct(scores, labels)",
                        R"(Count the rows whose largest score is the score of their label.

Divided by N, the count is the accuracy.

Parameters
----------
scores : ndarray, shape (N, classes), float32
    A score for each row and class, such as logits or probabilities.
labels : ndarray, shape (N,), any integer dtype
    The class of each row.

Returns
-------
int
    The number of correct rows. If several scores are the largest, the first one counts, as in
    numpy.argmax. A row with NaN is not correct.

Raises
------
TypeError
    If scores is not a float32 ndarray, or labels is not an integer ndarray.
ValueError
    If the shapes do not agree, or a label is not a class from 0 to classes - 1.)");
}

}  // namespace byhand::bindings
