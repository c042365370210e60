#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "core/check.h"
#include "ops/optimizer.h"

namespace byhand::bindings {
namespace {

void sgd_step(py::handle parameters_object, py::handle gradients_object, py::handle velocity_object,
              py::handle lr, py::handle momentum, py::handle nesterov, py::handle weight_decay) {
  const Input gradients(gradients_object, "gradients");
  const InPlace parameters(parameters_object, "parameters", {gradients.original()});
  const InPlace velocity(velocity_object, "velocity", {gradients.original(), parameters.array()});
  gradients.expect(parameters.shape(), "that of parameters");
  require(velocity.shape() == parameters.shape(), "velocity must have shape ", parameters.shape(),
          ", that of parameters, got ", velocity.shape());
  const ops::Sgd sgd{parse_float(lr, "lr"), parse_float(momentum, "momentum"),
                     parse_float(weight_decay, "weight_decay"), parse_bool(nesterov, "nesterov")};
  without_gil(
      [&] { ops::sgd_step(sgd, parameters.size(), parameters.data(), gradients.data(), velocity.data()); });
}

void accumulate(py::handle target_object, py::handle x_object) {
  const Input x(x_object, "x");
  const InPlace target(target_object, "target", {x.original()});
  x.expect(target.shape(), "that of target");
  without_gil([&] { ops::accumulate(target.size(), target.data(), x.data()); });
}

}  // namespace

void bind_optimizer(py::module_& m) {
  define<sgd_step>(
      m, "sgd_step(parameters, gradients, velocity, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0)",
      R"(One step of stochastic gradient descent with momentum; changes parameters and velocity in place.

    g = gradients + weight_decay * parameters
    velocity = momentum * velocity + g
    parameters -= lr * (g + momentum * velocity if nesterov else velocity)

All three arrays have one shape, and none overlaps another; velocity is zeros before the first step. With
momentum == 0 the old velocity is not read.

Source: Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013,
in PyTorch's form, where lr multiplies the velocity.)");
  define<accumulate>(m, "accumulate(target, x)",
                     R"(target += x, in place.

Two arrays of one shape that don't overlap.)");
}

}  // namespace byhand::bindings
