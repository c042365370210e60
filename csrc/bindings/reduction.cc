#include "bindings/reduction.h"

namespace byhand::bindings {

Reduction parse_reduction(py::handle object) {
  if (py::isinstance<py::str>(object)) {
    const std::string name = parse_string(object, "reduction");
    if (name == "none") return Reduction::kNone;
    if (name == "sum") return Reduction::kSum;
    if (name == "mean") return Reduction::kMean;
  }
  throw py::value_error("reduction must be \"none\", \"mean\" or \"sum\", got " +
                        std::string(py::repr(object)));
}

GradLossInput::GradLossInput(py::handle object, Reduction reduction, const Shape& shape) {
  if (object.is_none()) return;
  if (reduction != Reduction::kNone) {
    value_ = parse_float(object, "grad_loss");
    return;
  }
  each_.emplace(object, "grad_loss", -1);
  each_->expect(shape, "one value per loss, because reduction is \"none\"");
}

}  // namespace byhand::bindings
