#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"
#include "ops/batch_norm.h"

namespace byhand::bindings {
namespace {

ops::BatchNormShape batch_norm_shape(const Shape& x) {
  require(x.size() == 2 || x.size() == 4, "x must have the shape (n, channels) or (n, channels, h, w), got ",
          x);
  return {x[0], x[1], x.size() == 4 ? x[2] * x[3] : 1};
}

constexpr const char* kPerChannel = "one value a channel of x";

py::tuple batch_norm(py::handle x_object, py::handle gamma_object, py::handle beta_object,
                     py::handle mean_object, py::handle var_object, py::handle training_object,
                     py::handle momentum_object, py::handle eps_object, py::handle out_object) {
  const Input x(x_object, "x"), gamma(gamma_object, "gamma"), beta(beta_object, "beta");
  const InPlace running_mean(mean_object, "running_mean", {x.original(), gamma.original(), beta.original()});
  const InPlace running_var(var_object, "running_var",
                            {x.original(), gamma.original(), beta.original(), running_mean.array()});
  const ops::BatchNormShape s = batch_norm_shape(x.shape());
  const Shape channels{s.channels};
  gamma.expect(channels, kPerChannel);
  beta.expect(channels, kPerChannel);
  require(running_mean.shape() == channels, "running_mean must have shape ", channels, ", ", kPerChannel,
          ", got ", running_mean.shape());
  require(running_var.shape() == channels, "running_var must have shape ", channels, ", ", kPerChannel,
          ", got ", running_var.shape());
  const bool training = parse_bool(training_object, "training");
  const float momentum = parse_float(momentum_object, "momentum");
  const float eps = parse_float(eps_object, "eps");
  require(momentum >= 0 && momentum <= 1, "momentum must be from 0 to 1, got ", momentum);
  require(eps >= 0, "eps must be at least 0, got ", eps);
  require(!training || s.count() != 1 || s.channels == 0,
          "x must have more than one value a channel in training, got shape ", x.shape());
  const std::vector<py::object> outs = unpack_out(out_object, 3);
  const py::array &a = x.original(), &b = gamma.original(), &c = beta.original();
  const py::array &d = running_mean.array(), &e = running_var.array();
  const Output<float> y(outs[0], "out[0]", x.shape(), {a, b, c, d, e});
  const Output<float> mean(outs[1], "out[1]", channels, {a, b, c, d, e, y.array()});
  const Output<float> inv_std(outs[2], "out[2]", channels, {a, b, c, d, e, y.array(), mean.array()});
  without_gil([&] {
    if (training)
      ops::batch_norm_training(s, x.data(), gamma.data(), beta.data(), momentum, eps, running_mean.data(),
                               running_var.data(), y.data(), mean.data(), inv_std.data());
    else
      ops::batch_norm_inference(s, x.data(), gamma.data(), beta.data(), eps, running_mean.data(),
                                running_var.data(), y.data(), mean.data(), inv_std.data());
  });
  return py::make_tuple(y.array(), mean.array(), inv_std.array());
}

py::tuple batch_norm_backward(py::handle dy_object, py::handle x_object, py::handle gamma_object,
                              py::handle mean_object, py::handle inv_std_object, py::handle training,
                              py::handle input_gradient, py::handle out_object) {
  const Input dy(dy_object, "grad_output"), x(x_object, "x"), gamma(gamma_object, "gamma");
  const Input mean(mean_object, "saved_mean"), inv_std(inv_std_object, "saved_inv_std");
  const ops::BatchNormShape s = batch_norm_shape(x.shape());
  const Shape channels{s.channels};
  dy.expect(x.shape(), "that of x");
  gamma.expect(channels, kPerChannel);
  mean.expect(channels, kPerChannel);
  inv_std.expect(channels, kPerChannel);
  const Gradients gradients(
      out_object, input_gradient, py::bool_(true), x.shape(), channels, channels,
      {dy.original(), x.original(), gamma.original(), mean.original(), inv_std.original()});
  const ops::BatchNormGradients g{dy.data(),      x.data(),       gamma.data(),
                                  mean.data(),    inv_std.data(), parse_bool(training, "training"),
                                  gradients.dx(), gradients.dw(), gradients.db()};
  without_gil([&] { ops::batch_norm_backward(s, g); });
  return gradients.arrays();
}

}  // namespace

void bind_batch_norm(py::module_& m) {
  define<batch_norm>(
      m,
      "batch_norm(x, gamma, beta, running_mean, running_var, *, training, momentum=0.1, eps=1e-5, "
      "out=None)",
      R"(Each channel of x, normalised, scaled and shifted: (output, saved_mean, saved_inv_std).

    output = gamma * (x - mean) * inv_std + beta,  inv_std = 1 / sqrt(variance + eps)

x (n, channels) or (n, channels, h, w) -> output of that shape, saved_mean and saved_inv_std (channels,), as
are gamma, beta, running_mean and running_var. `out` is three arrays.

In training, mean and biased variance are those of x over all axes but channels, and the running statistics
change in place: running = (1 - momentum) * running + momentum * own, with the unbiased variance; n == 0 leaves
them. A NaN or infinity makes its channel NaN. Without training, mean and variance are the running ones.
Raises ValueError if a channel has only one value in training.

Sums are taken in double, of deviations from means of parts of x: neither a large mean nor values of up to 1e37
cost digits. A running variance beyond float32, such as that of values of 1e20, becomes the largest float32.

Source: Ioffe and Szegedy, Batch normalization, arXiv 1502.03167.)");
  define<batch_norm_backward>(
      m,
      "batch_norm_backward(grad_output, x, gamma, saved_mean, saved_inv_std, *, training=True, "
      "input_gradient=True, out=None)",
      R"(Gradients of batch_norm: (grad_x, grad_gamma, grad_beta).

    grad_beta = sum(grad_output),  grad_gamma = sum(grad_output * (x - mean)) * inv_std
    grad_x = gamma * inv_std * (grad_output
                                - (grad_beta + (x - mean) * inv_std * grad_gamma) / values a channel)

grad_output and x (n, channels) or (n, channels, h, w); saved_mean and saved_inv_std as batch_norm returned
them, gamma as it took it. If saved_mean is the mean of x rounded to float32, the mean itself is used: its last
digits matter if it is many standard deviations from zero. Without training, mean and variance are constants:
grad_x is gamma * inv_std * grad_output. grad_x is None if input_gradient is False; `out` is three arrays, or None for that one.)");
}

}  // namespace byhand::bindings
