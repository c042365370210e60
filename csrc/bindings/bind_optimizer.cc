#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"
#include "ops/activation.h"
#include "ops/optimizer.h"

namespace byhand::bindings {
namespace {

void sgd_step(py::handle parameters_object, py::handle gradients_object, py::handle velocity_object,
              py::handle lr, py::handle momentum, py::handle dampening, py::handle weight_decay,
              py::handle nesterov) {
  const Input gradients(gradients_object, "gradients");
  const InPlace parameters(parameters_object, "parameters", {gradients.original()});
  const InPlace velocity(velocity_object, "velocity", {gradients.original(), parameters.array()});
  gradients.expect(parameters.shape(), "that of parameters");
  require(velocity.shape() == parameters.shape(), "velocity must have shape ", parameters.shape(),
          ", that of parameters, got ", velocity.shape());
  const ops::Sgd sgd{parse_float(lr, "lr"), parse_float(momentum, "momentum"),
                     parse_double(dampening, "dampening"), parse_float(weight_decay, "weight_decay"),
                     parse_bool(nesterov, "nesterov")};
  without_gil(
      [&] { ops::sgd_step(sgd, parameters.size(), parameters.data(), gradients.data(), velocity.data()); });
}

void adam_step(py::handle parameters_object, py::handle gradients_object, py::handle first_object,
               py::handle second_object, py::handle step_object, py::handle lr, py::handle beta1,
               py::handle beta2, py::handle eps, py::handle weight_decay, py::handle decoupled) {
  const Input gradients(gradients_object, "gradients");
  const InPlace parameters(parameters_object, "parameters", {gradients.original()});
  const InPlace first(first_object, "first_moment", {gradients.original(), parameters.array()});
  const InPlace second(second_object, "second_moment",
                       {gradients.original(), parameters.array(), first.array()});
  gradients.expect(parameters.shape(), "that of parameters");
  require(first.shape() == parameters.shape(), "first_moment must have shape ", parameters.shape(),
          ", that of parameters, got ", first.shape());
  require(second.shape() == parameters.shape(), "second_moment must have shape ", parameters.shape(),
          ", that of parameters, got ", second.shape());
  const ops::Adam adam{parse_double(lr, "lr"),
                       parse_double(beta1, "beta1"),
                       parse_double(beta2, "beta2"),
                       parse_double(eps, "eps"),
                       parse_double(weight_decay, "weight_decay"),
                       parse_bool(decoupled, "decoupled")};
  const int64_t step = parse_integer(step_object, "step");
  without_gil([&] {
    ops::adam_step(adam, step, parameters.size(), parameters.data(), gradients.data(), first.data(),
                   second.data());
  });
}

void accumulate(py::handle target_object, py::handle x_object) {
  const Input x(x_object, "x");
  const InPlace target(target_object, "target", {x.original()});
  x.expect(target.shape(), "that of target");
  without_gil([&] { ops::add(target.data(), x.data(), target.size(), target.data()); });
}

}  // namespace

void bind_optimizer(py::module_& m) {
  define<sgd_step>(
      m,
      "sgd_step(parameters, gradients, velocity, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, "
      "nesterov=False)",
      R"(One step of stochastic gradient descent with momentum; changes parameters and velocity in place.

    g = gradients + weight_decay * parameters
    velocity = momentum * velocity + (1 - dampening) * g if momentum != 0 else g
    parameters -= lr * (g + momentum * velocity if nesterov else velocity)

All three arrays have the same shape, and none overlaps another. Before the first step, velocity is zeros. If
momentum is 0, the old velocity is not read.

Source: Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013, in the
form of torch.optim.SGD, where lr multiplies the velocity. torch.optim.SGD takes the first gradient undamped: pass
dampening=0 in the first step.)");
  define<adam_step>(
      m,
      "adam_step(parameters, gradients, first_moment, second_moment, *, step, lr=0.001, beta1=0.9, "
      "beta2=0.999, eps=1e-08, weight_decay=0.0, decoupled=False)",
      R"(One step of Adam, or of AdamW where decoupled; changes parameters and both moments in place.

    g = gradients + (0 if decoupled else weight_decay) * parameters
    first_moment = beta1 * first_moment + (1 - beta1) * g
    second_moment = beta2 * second_moment + (1 - beta2) * g**2
    m = first_moment / (1 - beta1**step)
    v = second_moment / (1 - beta2**step)
    parameters *= 1 - lr * weight_decay if decoupled else 1
    parameters -= lr * m / (sqrt(v) + eps)

All four arrays have one shape, and none overlaps another; both moments are zeros before step 1.
Raises ValueError where step < 1 or a beta is not from 0 to below 1.

Sources: Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015; Loshchilov and Hutter,
Decoupled weight decay regularization, ICLR 2019; eps outside the root as in PyTorch.)");
  define<accumulate>(m, "accumulate(target, x)",
                     R"(target += x, in place.

Two arrays of one shape that don't overlap.)");
}

}  // namespace byhand::bindings
