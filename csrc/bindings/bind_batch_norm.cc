#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

ops::BatchNormShape batch_norm_shape(const Shape& x) {
  require(x.size() == 2 || x.size() == 4, "x must have the shape (N, channels) or (N, channels, H, W), got ",
          x);
  return {x[0], x[1], x.size() == 4 ? x[2] * x[3] : 1};
}

constexpr const char* kPerChannel = "one value per channel of x";

py::tuple batch_norm(py::handle x_object, py::handle gamma_object, py::handle beta_object,
                     py::handle mean_object, py::handle var_object, py::handle training_object,
                     py::handle momentum_object, py::handle eps_object, py::handle out_object) {
  const Input x(x_object, "x"), gamma(gamma_object, "gamma"), beta(beta_object, "beta");
  const InPlace running_mean(mean_object, "running_mean", {x.region(), gamma.region(), beta.region()});
  const InPlace running_var(var_object, "running_var",
                            {x.region(), gamma.region(), beta.region(), running_mean.region()});
  const ops::BatchNormShape s = batch_norm_shape(x.shape());
  const Shape channels{s.channels};
  gamma.expect(channels, kPerChannel);
  beta.expect(channels, kPerChannel);
  require(running_mean.shape() == channels, "running_mean must have shape ", channels, " (", kPerChannel,
          "), got ", running_mean.shape());
  require(running_var.shape() == channels, "running_var must have shape ", channels, " (", kPerChannel,
          "), got ", running_var.shape());
  const bool training = parse_bool(training_object, "training");
  const float momentum = parse_float(momentum_object, "momentum");
  const float eps = parse_float(eps_object, "eps");
  require(momentum >= 0 && momentum <= 1, "momentum must be from 0 to 1, got ", momentum);
  require(eps >= 0, "eps must be at least 0, got ", eps);
  require(!training || s.count() != 1 || s.channels == 0,
          "x must have more than one value per channel in training, got shape ", x.shape());
  const std::vector<py::object> outs = unpack_out(out_object, 3);
  // The inputs, which no output may overlap.
  const Region &a = x.region(), &b = gamma.region(), &c = beta.region();
  const Region &d = running_mean.region(), &e = running_var.region();
  const Output<float> y(outs[0], "out[0]", x.shape(), {a, b, c, d, e});
  const Output<float> mean(outs[1], "out[1]", channels, {a, b, c, d, e, y.region()});
  const Output<float> inv_std(outs[2], "out[2]", channels, {a, b, c, d, e, y.region(), mean.region()});
  without_gil([&] {
    if (training)
      y.device().batch_norm_training(s, x.data(), gamma.data(), beta.data(), momentum, eps,
                                     running_mean.data(), running_var.data(), y.data(), mean.data(),
                                     inv_std.data());
    else
      y.device().batch_norm_inference(s, x.data(), gamma.data(), beta.data(), eps, running_mean.data(),
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
  dy.expect(x.shape(), "the shape of x");
  gamma.expect(channels, kPerChannel);
  mean.expect(channels, kPerChannel);
  inv_std.expect(channels, kPerChannel);
  const Gradients gradients(out_object, input_gradient, py::bool_(true), x.shape(), channels, channels,
                            {dy.region(), x.region(), gamma.region(), mean.region(), inv_std.region()});
  const ops::BatchNormGradients g{dy.data(),      x.data(),       gamma.data(),
                                  mean.data(),    inv_std.data(), parse_bool(training, "training"),
                                  gradients.dx(), gradients.dw(), gradients.db()};
  without_gil([&] { gradients.device().batch_norm_backward(s, g); });
  return gradients.arrays();
}

}  // namespace

void bind_batch_norm(py::module_& m) {
  define<batch_norm>(
      m,
      "batch_norm(x, gamma, beta, running_mean, running_var, *, training, momentum=0.1, eps=1e-5, "
      "out=None)",
      R"(Normalize each channel, then scale and shift it.

In training, each channel is normalized by the mean and the biased variance of its values in x,
and the running statistics are updated in place. In inference, each channel is normalized by the
running mean and the running variance.

Parameters
----------
x : ndarray, shape (N, channels) or (N, channels, H, W), float32
    Input.
gamma : ndarray, shape (channels,), float32
    Scale of each channel.
beta : ndarray, shape (channels,), float32
    Shift of each channel.
running_mean, running_var : ndarray, shape (channels,), float32
    Running mean and running unbiased variance. In training, they change in place. They must be
    writable and C-contiguous, and must not overlap another array.
training : bool
    True for training, False for inference.
momentum : float, default 0.1
    Weight of the statistics of x in the update of the running statistics, from 0 to 1. The
    formula is in the notes below.
eps : float, default 1e-5
    Number that is added to the variance to avoid a division by 0. It must be at least 0.
out : (ndarray, ndarray, ndarray), optional
    Receive the results. They must be writable and C-contiguous, and must overlap neither an
    input nor each other. For an item that is None, the function makes a new array.

Returns
-------
output : ndarray, shape of x, float32
    The normalized, scaled and shifted input.
saved_mean : ndarray, shape (channels,), float32
    The mean by which each channel was normalized. The backward function needs it.
saved_inv_std : ndarray, shape (channels,), float32
    1 / sqrt(variance + eps) of each channel. The backward function needs it.

Raises
------
TypeError
    If an array is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If the shapes do not agree, momentum or eps is out of range, a channel has only one value
    in training, or an array that the function writes to is not as described above.

Notes
-----
The output and the new running statistics are::

    output = gamma * (x - mean) * inv_std + beta,  inv_std = 1 / sqrt(variance + eps)
    running = (1 - momentum) * running + momentum * statistic of x

For the running variance, the statistic of x is its unbiased variance. If N is 0, the running
statistics do not change. In training, a NaN or an infinity in x makes the whole channel NaN.

Sums are taken in double precision. The variance is computed in parts. For each part of x, the
function adds up the squares of the deviations from the mean of this part. Then it combines
these sums. So a large mean costs no digits, and values up to 1e37 do not overflow. A running
variance that is too large for float32, for example that of values near 1e20, becomes the
largest float32 number.

References
----------
S. Ioffe and C. Szegedy, Batch normalization: accelerating deep network training by reducing
internal covariate shift, arXiv:1502.03167.)");
  define<batch_norm_backward>(
      m,
      "batch_norm_backward(grad_output, x, gamma, saved_mean, saved_inv_std, *, training=True, "
      "input_gradient=True, out=None)",
      R"(Compute all gradients of batch_norm.

Parameters
----------
grad_output : ndarray, shape (N, channels) or (N, channels, H, W), float32
    Gradient with respect to the output.
x : ndarray, shape of grad_output, float32
    Input, as given to `batch_norm`.
gamma : ndarray, shape (channels,), float32
    Scale of each channel, as given to `batch_norm`.
saved_mean, saved_inv_std : ndarray, shape (channels,), float32
    As `batch_norm` returned them.
training : bool, default True
    As given to `batch_norm`. In inference, the mean and the variance do not depend on x.
input_gradient : bool, default True
    Whether to compute grad_x.
out : (ndarray, ndarray, ndarray), optional
    Receive the results. They must be writable and C-contiguous, and must overlap neither an
    input nor each other. For an item that is None, the function makes a new array. The first
    item must be None if input_gradient is False.

Returns
-------
grad_x : ndarray, shape of x, float32, or None
    Gradient with respect to x; None if input_gradient is False.
grad_gamma : ndarray, shape (channels,), float32
    Gradient with respect to gamma.
grad_beta : ndarray, shape (channels,), float32
    Gradient with respect to beta.

Raises
------
TypeError
    If an array is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If the shapes do not agree, or `out` is not as described above.

Notes
-----
The sums are over all values of a channel, and count is the number of these values::

    grad_beta = sum(grad_output)
    grad_gamma = sum(grad_output * (x - mean)) * inv_std
    grad_x = gamma * inv_std * (grad_output
        - (grad_beta + (x - mean) * inv_std * grad_gamma) / count)  # in training
    grad_x = gamma * inv_std * grad_output  # in inference

In training, if saved_mean is the mean of x rounded to float32, the exact mean is used instead.
The digits that float32 lacks matter if the mean is many standard deviations away from zero.)");
}

}  // namespace byhand::bindings
