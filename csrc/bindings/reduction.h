// The arguments that all losses share.
#pragma once

#include <optional>

#include "bindings/arrays.h"
#include "core/reduction.h"

namespace byhand::bindings {

Reduction parse_reduction(py::handle object);  // "none", "mean" or "sum"

// The argument grad_loss of a backward function: an array of `shape` if the reduction is kNone, otherwise a
// number. None means 1.
class GradLossInput {
 public:
  GradLossInput(py::handle object, Reduction reduction, const Shape& shape);
  GradLoss grad_loss() const { return {each_ ? each_->data() : nullptr, value_}; }
  Region region() const { return each_ ? each_->region() : Region(); }

 private:
  std::optional<Input> each_;
  float value_ = 1;
};

}  // namespace byhand::bindings
