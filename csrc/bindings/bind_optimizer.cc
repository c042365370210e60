#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

void sgd_step(py::handle parameters_object, py::handle gradients_object, py::handle velocity_object,
              py::handle lr, py::handle momentum, py::handle dampening, py::handle weight_decay,
              py::handle nesterov) {
  const Input gradients(gradients_object, "gradients");
  const InPlace parameters(parameters_object, "parameters", {gradients.region()});
  const InPlace velocity(velocity_object, "velocity", {gradients.region(), parameters.region()});
  gradients.expect(parameters.shape(), "the shape of parameters");
  require(velocity.shape() == parameters.shape(), "velocity must have shape ", parameters.shape(),
          " (the shape of parameters), got ", velocity.shape());
  const ops::Sgd sgd{parse_float(lr, "lr"), parse_float(momentum, "momentum"),
                     parse_double(dampening, "dampening"), parse_float(weight_decay, "weight_decay"),
                     parse_bool(nesterov, "nesterov")};
  without_gil([&] {
    parameters.device().sgd_step(sgd, parameters.size(), parameters.data(), gradients.data(),
                                 velocity.data());
  });
}

void adam_step(py::handle parameters_object, py::handle gradients_object, py::handle first_object,
               py::handle second_object, py::handle step_object, py::handle lr, py::handle beta1,
               py::handle beta2, py::handle eps, py::handle weight_decay, py::handle decoupled) {
  const Input gradients(gradients_object, "gradients");
  const InPlace parameters(parameters_object, "parameters", {gradients.region()});
  const InPlace first(first_object, "first_moment", {gradients.region(), parameters.region()});
  const InPlace second(second_object, "second_moment",
                       {gradients.region(), parameters.region(), first.region()});
  gradients.expect(parameters.shape(), "the shape of parameters");
  require(first.shape() == parameters.shape(), "first_moment must have shape ", parameters.shape(),
          " (the shape of parameters), got ", first.shape());
  require(second.shape() == parameters.shape(), "second_moment must have shape ", parameters.shape(),
          " (the shape of parameters), got ", second.shape());
  const ops::Adam adam{parse_double(lr, "lr"),
                       parse_double(beta1, "beta1"),
                       parse_double(beta2, "beta2"),
                       parse_double(eps, "eps"),
                       parse_double(weight_decay, "weight_decay"),
                       parse_bool(decoupled, "decoupled")};
  const int64_t step = parse_integer(step_object, "step");
  without_gil([&] {
    parameters.device().adam_step(adam, step, parameters.size(), parameters.data(), gradients.data(),
                                  first.data(), second.data());
  });
}

void accumulate(py::handle target_object, py::handle x_object) {
  const Input x(x_object, "x");
  const InPlace target(target_object, "target", {x.region()});
  x.expect(target.shape(), "the shape of target");
  without_gil([&] { target.device().add(target.data(), x.data(), target.size(), target.data()); });
}

}  // namespace

void bind_optimizer(py::module_& m) {
  define<sgd_step>(
      m,
      "sgd_step(parameters, gradients, velocity, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, "
      "nesterov=False)",
      R"(Do one step of stochastic gradient descent, in place.

Parameters
----------
parameters : ndarray, any shape, float32
    Parameters, which the step changes.
gradients : ndarray, shape of parameters, float32
    Gradient with respect to each parameter.
velocity : ndarray, shape of parameters, float32
    Running sum of the gradients, which the step changes. It must be zero before the first step.
lr : float
    Learning rate.
momentum : float, default 0.0
    Factor by which the old velocity is multiplied. If it is 0, the old velocity is not read.
dampening : float, default 0.0
    Share of the gradient that is not added to the velocity.
weight_decay : float, default 0.0
    Multiple of the parameters that is added to the gradients.
nesterov : bool, default False
    Whether to use Nesterov's momentum.

Returns
-------
None
    parameters and velocity are changed in place.

Raises
------
TypeError
    If an array is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If the shapes differ, two arrays overlap, or an array that the step changes is not writable
    or not C-contiguous.

Notes
-----
The step is::

    g = gradients + weight_decay * parameters
    velocity = momentum * velocity + (1 - dampening) * g if momentum != 0 else g
    parameters -= lr * (g + momentum * velocity if nesterov else velocity)

This is the form of torch.optim.SGD, in which lr multiplies the velocity. torch.optim.SGD does
not dampen the first gradient. Pass dampening=0 in the first step to get the same.

References
----------
I. Sutskever et al., On the importance of initialization and momentum in deep learning, ICML
2013.)");
  define<adam_step>(
      m,
      "adam_step(parameters, gradients, first_moment, second_moment, *, step, lr=0.001, beta1=0.9, "
      "beta2=0.999, eps=1e-08, weight_decay=0.0, decoupled=False)",
      R"(Do one step of Adam, or of AdamW if decoupled is True, in place.

Parameters
----------
parameters : ndarray, any shape, float32
    Parameters, which the step changes.
gradients : ndarray, shape of parameters, float32
    Gradient with respect to each parameter.
first_moment, second_moment : ndarray, shape of parameters, float32
    Running means of the gradients and of their squares, which the step changes. They must be
    zero before step 1.
step : int
    Number of this step, from 1.
lr : float, default 0.001
    Learning rate.
beta1, beta2 : float, default 0.9 and 0.999
    Factors by which the old moments are multiplied, at least 0 and less than 1.
eps : float, default 1e-08
    Number that is added to the root of the second moment to avoid a division by 0.
weight_decay : float, default 0.0
    Multiple of the parameters that is added to the gradients. If decoupled is True, nothing is
    added to the gradients. The parameters are multiplied by 1 - lr * weight_decay instead.
decoupled : bool, default False
    Whether to apply the weight decay to the parameters, as AdamW does.

Returns
-------
None
    parameters, first_moment and second_moment are changed in place.

Raises
------
TypeError
    If an array is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If the shapes differ, two arrays overlap, an array that the step changes is not writable or
    not C-contiguous, step is below 1, or a beta is out of range.

Notes
-----
The step is as follows. eps is outside of the root, as in PyTorch::

    g = gradients + (0 if decoupled else weight_decay) * parameters
    first_moment = beta1 * first_moment + (1 - beta1) * g
    second_moment = beta2 * second_moment + (1 - beta2) * g**2
    m = first_moment / (1 - beta1**step)
    v = second_moment / (1 - beta2**step)
    parameters *= 1 - lr * weight_decay if decoupled else 1
    parameters -= lr * m / (sqrt(v) + eps)

References
----------
D. P. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015. I. Loshchilov
and F. Hutter, Decoupled weight decay regularization, ICLR 2019.)");
  define<accumulate>(m, "accumulate(target, x)", R"(Add an array to another one in place: target += x.

Parameters
----------
target : ndarray, any shape, float32
    Array that is changed. It must be writable and C-contiguous.
x : ndarray, shape of target, float32
    Array that is added.

Returns
-------
None
    target is changed in place.

Raises
------
TypeError
    If an array is not a float32 ndarray.
ValueError
    If the shapes differ, the arrays overlap, or target is not as described above.)");
}

}  // namespace byhand::bindings
