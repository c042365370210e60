"""Bounds on the errors of each kernel's float32 results, as functions of the call.

Every bound is the accumulation bound of tolerance.py for the terms that the formula adds up, plus
the error that the elementary functions may have. A function here takes a call and returns one bound
per result.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import reference
from calls import Array, Call
from tolerance import EPS, SMALLEST, accumulation, ulp

Bound = Callable[[Call], tuple[npt.ArrayLike, ...]]

# Largest errors in units of the last place. byhand has no public function for the exponential, so
# its error is measured by the softmax of (0, x).
EXP_ULP = 2.0
TANH_ULP = 3.0
SIGMOID_ULP = 3.0


def summed(terms: Callable[..., float]) -> Bound:
    """Return the bound of results that are sums of at most terms(*args, **kwargs) products."""

    def bound(call: Call) -> tuple[Array, ...]:
        count = terms(*call.args, **call.kwargs)
        return tuple(accumulation(size, count) for size in call.sizes())

    return bound


def linear_act(call: Call) -> tuple[Array]:
    """Bound the sum and the activation.

    The slope of an activation is at most 1, so it does not enlarge the error of the sum. The
    activation's own error is added.
    """
    x, weight, bias, activation = call.args
    size = reference.linear(np.abs(x), np.abs(weight), np.abs(bias))
    own = {"tanh": TANH_ULP, "sigmoid": SIGMOID_ULP}.get(activation, 0.0)
    return (accumulation(size, x.shape[1] + 1) + own * ulp(call.expected()[0]),)


def conv2d_pool_act(call: Call) -> tuple[Array, float]:
    """Bound the result as `linear_act` does.

    The error of a window's maximum is at most the largest error of a value in the window.
    """
    x, weight, bias, activation, pool_size = call.args
    size = reference.conv2d(np.abs(x), np.abs(weight), np.abs(bias), **call.kwargs)
    worst = reference.max_pool2d(accumulation(size, conv_terms(x, weight)), pool_size)[0]
    own = {"tanh": TANH_ULP, "sigmoid": SIGMOID_ULP}.get(activation, 0.0)
    return worst + own * ulp(call.expected()[0]), 0.0


def _before_activation(grad_output: Array, output: Array, activation: str | None) -> Array:
    """Return the absolute gradient before the activation. The kernels round it a few times."""
    slope = np.ones_like(output)
    if activation is not None:
        slope = getattr(reference, f"{activation}_backward")(slope, output)
    return np.abs(grad_output * slope)


def linear_act_backward(call: Call) -> tuple[Array, ...]:
    """Bound sums of products with the gradient before the activation."""
    grad_output, output, x, weight, activation = call.args
    grad = _before_activation(grad_output, output, activation)
    grad_x, grad_weight, grad_bias = reference.linear_act_backward(
        grad, None, np.abs(x), np.abs(weight), None
    )
    n = len(x) + 4
    return (
        accumulation(grad_x, len(weight) + 4),
        accumulation(grad_weight, n),
        accumulation(grad_bias, n),
    )


def conv2d_pool_act_backward(call: Call) -> tuple[Array, ...]:
    """Bound sums of products with the gradient before the activation."""
    grad_output, output, indices, x, weight, activation = call.args
    grad = _before_activation(grad_output, output, activation)
    args = (grad, output, indices, np.abs(x), np.abs(weight), None)
    *grad_x, grad_weight, grad_bias = reference.conv2d_pool_act_backward(*args, **call.kwargs)
    terms = prod(weight.shape[2:]) * weight.shape[0]
    values = pixels(grad_output)
    return (
        *(accumulation(size, terms + 4) for size in grad_x),
        accumulation(grad_weight, values + 4),
        accumulation(grad_bias, values + 4),
    )


def equal(call: Call) -> tuple[float, ...]:
    return (0.0,) * len(call.expected())


def ulps(count: float) -> Bound:
    return lambda call: tuple(count * ulp(e) for e in call.expected())


def window_area(x: Any, *args: Any, kernel_size: Any = None, **_: Any) -> int:
    """The number of terms of a pooled value. kernel_size is a keyword or the last argument."""
    return prod(reference.pair(args[-1] if kernel_size is None else kernel_size))


def conv_terms(x: Array, weight: Array, *_: Any, **__: Any) -> int:
    return prod(weight.shape[1:]) + 1


def conv_input_terms(grad_output: Array, weight: Array, *_: Any, groups: int = 1, **__: Any) -> int:
    return prod(weight.shape[2:]) * weight.shape[0] // groups


def pixels(grad_output: Array, *_: Any, **__: Any) -> int:
    """The number of terms of a convolution's gradient with respect to a weight or a bias."""
    return grad_output.size // max(grad_output.shape[1], 1)


def windows_of_a_pixel(grad_output: Array, indices: Array, input_shape: Any) -> int:
    """The largest number of windows that have their maximum at the same pixel.

    It is the number of terms of that pixel's gradient.
    """
    ones = np.ones_like(grad_output)
    return int(reference.max_pool2d_backward(ones, indices, input_shape).max(initial=1))


def tanh_backward(call: Call) -> tuple[Array]:
    grad_output, output = np.abs(call.args[0]), np.abs(reference.f64(call.args[1]))
    return (accumulation(grad_output * (1 + output**2), 1),)


def sigmoid_backward(call: Call) -> tuple[Array]:
    grad_output, output = np.abs(call.args[0]), np.abs(reference.f64(call.args[1]))
    return (accumulation(grad_output * (1 + output) * output, 1),)


def _exp_sum(x: Array) -> tuple[Array, Array, Array]:
    """Return three arrays for each row's sum of exp(x - max).

    They are |x - max|, the relative error of the sum, and the absolute logarithm of the sum. The
    relative error has three parts. Each difference x - max is rounded by half an ulp, which becomes
    a relative error of its exponential. Each exponential is off by up to EXP_ULP. The sum adds
    rounding errors of its own, but its terms are all positive, so nothing cancels.
    """
    shifted = np.abs(reference.f64(x) - x.max(axis=-1, keepdims=True, initial=-np.inf))
    shifted = np.where(np.isfinite(shifted), shifted, 0.0)
    log_p = reference.log_softmax(x)
    rounding = (np.exp(log_p) * shifted).sum(axis=-1, keepdims=True) / 2
    error = EPS * (rounding + EXP_ULP + 2 * np.sqrt(x.shape[-1]))
    return shifted, error, np.abs(log_p.max(axis=-1, keepdims=True, initial=-np.inf))


def softmax(call: Call) -> tuple[Array]:
    shifted, error, _ = _exp_sum(call.args[0])
    relative = error + EPS * (shifted / 2 + EXP_ULP + 2)
    return (reference.softmax(call.args[0]) * relative + SMALLEST,)


def log_softmax(call: Call) -> tuple[Array]:
    shifted, error, log_sum = _exp_sum(call.args[0])
    return (error + 2 * EPS * (shifted + log_sum),)


def _targets(call: Call, classes: int) -> tuple[Array, Array]:
    smoothing = call.kwargs.get("label_smoothing", 0.0)
    ignored = call.kwargs.get("ignore_index", -100)
    target, kept = reference.targets(call.args[1], classes, ignored, smoothing)
    return np.where(kept[:, None], np.abs(target), 0.0), kept


def cross_entropy(call: Call) -> tuple[npt.ArrayLike, ...]:
    logits = call.args[0]
    target, kept = _targets(call, logits.shape[1])
    shifted, error, log_sum = _exp_sum(logits)
    terms = (target * (shifted + log_sum)).sum(axis=1)
    rows = target.sum(axis=1) * error[:, 0] + accumulation(terms, logits.shape[1])
    reduction = call.kwargs.get("reduction", "mean")
    if reduction != "none":
        whole = rows.sum() + accumulation(terms.sum(), len(rows))
        rows = whole / max(kept.sum(), 1) if reduction == "mean" else whole
    return rows, softmax(call)[0]


def cross_entropy_backward(call: Call) -> tuple[Array]:
    probabilities = reference.f64(call.args[0])
    target, kept = _targets(call, probabilities.shape[1])
    size = probabilities * target.sum(axis=1, keepdims=True) + target
    grad_loss = call.args[2] if len(call.args) > 2 else call.kwargs.get("grad_loss")
    reduction = call.kwargs.get("reduction", "mean")
    scale = np.abs(reference.loss_scale(grad_loss, reduction, kept.sum())).reshape(-1, 1)
    return (accumulation(size * scale, probabilities.shape[1]),)


def all_positive(call: Call) -> tuple[Array]:
    """The bound of a sum whose terms are positive for all inputs, so nothing cancels."""
    return (accumulation(call.expected()[0], call.args[0].size),)


def elementwise(call: Call) -> tuple[Array]:
    """The bound of a product of a few factors, one of them a difference."""
    return (accumulation(np.abs(call.expected()[0]), 1),)


def warp(call: Call) -> tuple[Array]:
    """Bound the effect of the rounding errors of positions, and those of the interpolation.

    A position is a sum of at most ten terms, whose sizes add up to at most `reach` plus the largest
    displacement. A position in the grid has a rounding error of `grid` / 2 ULP. It changes the
    weights of the control points, whose slopes are at most 2/3. If a position changes by e, the
    result changes by at most e times the largest difference of two neighbouring pixels, which is at
    most twice the largest pixel.
    """
    images, settings = call.args[0], call.kwargs
    if not images.size:
        return (images,)
    sides = sum(images.shape[2:])
    largest = (1 + np.tan(np.radians(settings.get("shear", 0)))) / (1 - settings.get("scale", 0))
    reach = 2 + sides * (1 + largest) + 2 * settings.get("shift", 0) * largest
    displacement = 3.62 * settings.get("elastic", 0)
    grid = sides / (np.sqrt(3) * settings.get("smoothness", 4.0)) + 8
    error = EPS / 2 * (10 * (reach + displacement) + 4 * grid * displacement)
    difference = 2 * max(np.abs(images).max(), abs(settings.get("fill", 0)))
    return (np.full(images.shape, difference * (2 * error + 4 * EPS) + SMALLEST),)


def adam(call: Call) -> tuple[Array, ...]:
    """Bound both moments, which are sums, and the parameters.

    The parameters change by a quotient of the moments. Their bound has the effect of the moments'
    errors on the quotient, and the rounding errors of the quotient itself.
    """
    p, g, m, v = (np.abs(reference.f64(a)) for a in call.args)
    settings = call.kwargs
    beta1, beta2 = settings.get("beta1", 0.9), settings.get("beta2", 0.999)
    gradient = g + abs(settings.get("weight_decay", 0.0)) * p
    first = accumulation(beta1 * m + (1 - beta1) * gradient, 4)
    second = accumulation(beta2 * v + (1 - beta2) * gradient**2, 8)
    _, new_m, new_v = call.expected()
    rate = abs(settings.get("lr", 1e-3)) / (1 - beta1 ** settings["step"])
    root = 1 / np.sqrt(1 - beta2 ** settings["step"])
    divisor = np.abs(root * np.sqrt(new_v) + settings.get("eps", 1e-8))
    off = root * second / (2 * np.sqrt(new_v)) / divisor + 4 * EPS  # relative error of the divisor
    update = rate * np.abs(new_m) / divisor
    return rate * first / divisor + update * (off + 4 * EPS) + 4 * EPS * (p + update), first, second


def _per_channel(x: Array, *arrays: Array) -> Any:
    """Reshape arrays with one value per channel so that they broadcast with x."""
    return tuple(np.reshape(a, (-1, *[1] * (x.ndim - 2))) for a in arrays)


def batch_norm(call: Call) -> tuple[Array, ...]:
    """Bound the statistics and the normalised values.

    The mean is a sum of deviations, and the variance is a sum of squared deviations. The errors of
    both are passed on to the normalised values, which add some rounding errors of their own.
    """
    x, gamma, beta, running_mean, running_var = (reference.f64(a) for a in call.args)
    _, mean, inv_std, *_ = call.expected()
    momentum, eps = call.kwargs.get("momentum", 0.1), call.kwargs.get("eps", 1e-5)
    count = x.size // max(x.shape[1], 1)
    # Errors: of the mean, and of the variance relative to variance + eps.
    of_mean = of_variance = np.zeros_like(mean)
    if call.kwargs["training"] and count:
        (m,) = _per_channel(x, mean)
        axes = (0, *range(2, x.ndim))
        rounded = np.abs(x).mean(axes)  # deviations are from float32 means of blocks
        deviation = np.abs(x - m).mean(axes) + accumulation(rounded, count)
        of_mean = accumulation(deviation, count)
        variance = ((x - m) ** 2).mean(axes) + accumulation(rounded, count) ** 2
        of_variance = accumulation(variance, count + 4) * inv_std**2
    of_inv_std = inv_std * (of_variance / 2 + EPS)
    m, i, g, b, e, r = _per_channel(x, mean, inv_std, gamma, beta, of_mean, of_inv_std)
    size = np.abs(g) * (np.abs(x - m) * (r + 4 * EPS * i) + e * i)
    running = ((mean, of_mean), (inv_std**-2 - eps, of_variance * inv_std**-2))
    share = count / max(count - 1, 1)
    return (
        size + 4 * EPS * np.abs(b) + SMALLEST,
        of_mean + EPS * np.abs(mean) + SMALLEST,
        of_inv_std + SMALLEST,
        *(
            momentum * share * error + 2 * EPS * (np.abs(value) * momentum * share + np.abs(old))
            for (value, error), old in zip(running, (running_mean, running_var), strict=True)
        ),
    )


def batch_norm_backward(call: Call) -> tuple[Array, ...]:
    """Bound the two sums over each channel, and the gradient of x, which is computed from them."""
    dy, x, gamma, mean, inv_std = (reference.f64(a) for a in call.args)
    count = max(x.size // max(x.shape[1], 1), 1)
    m, i, g = _per_channel(x, mean, inv_std, gamma)
    axes = (0, *range(2, x.ndim))
    beta = np.abs(dy).sum(axes)
    gamma_sum = np.abs(dy * (x - m) * i).sum(axes)
    b, s = _per_channel(x, beta, gamma_sum)
    sums = (b + np.abs((x - m) * i) * s) / count if call.kwargs.get("training", True) else 0.0
    size = np.abs(g * i) * (np.abs(dy) + sums)
    return (
        accumulation(size, count + 8),
        accumulation(gamma_sum, count + 4),
        accumulation(beta, count),
    )
