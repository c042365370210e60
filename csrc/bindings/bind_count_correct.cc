#include "bindings/bind.h"
#include "bindings/function.h"
#include "core/check.h"
#include "ops/count_correct.h"

namespace byhand::bindings {
namespace {

py::int_ count_correct(py::handle scores_object, py::handle labels_object) {
  const Input scores(scores_object, "scores", 2);
  const IntegerInput labels(labels_object, "labels", 1);
  const int64_t rows = scores.shape()[0], classes = scores.shape()[1];
  require(labels.shape()[0] == rows, "labels must have shape ", Shape{rows}, ", a class for each row, got ",
          labels.shape());
  int64_t correct = 0;
  without_gil([&] { correct = ops::count_correct(scores.data(), labels.data(), rows, classes); });
  return correct;
}

}  // namespace

void bind_count_correct(py::module_& m) {
  define<count_correct>(m, "count_correct(scores, labels)",
                        R"(How many rows of scores are largest at their label.

scores (n, classes), labels (n,) integers -> int. Of equal largest scores the first counts, as in
numpy.argmax; a row with NaN is not correct. Divided by n it is the accuracy.
Raises ValueError for a label that is not a class.)");
}

}  // namespace byhand::bindings
