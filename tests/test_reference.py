"""The reference: gradients by finite differences, values by known examples and by PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import reference
from calls import Array, shapes
from ops import AVERAGE, WINDOW, conv_output_shape, pool_arguments

CONV = shapes("conv2d")
POOL = shapes("pool2d")
LABELS = np.array([3, 0, 1, 3])


def check_gradient(
    forward: Callable[[Array], Array], gradient: Callable[[Array], Array], x: Array
) -> None:
    """Check that gradient(dy) is the gradient of sum(forward(x) * dy).

    Central differences are taken along some random directions. Every element influences them, so a
    wrong element changes every slope.
    """
    rng, step = np.random.default_rng(1), 1e-5
    dy = rng.standard_normal(np.shape(forward(x)))
    for direction in rng.uniform(-1, 1, (3, *x.shape)):
        up, down = forward(x + step * direction), forward(x - step * direction)
        slope = np.sum((up - down) * dy) / (2 * step)
        assert slope != 0
        scale = np.sum(np.abs(gradient(dy) * direction))
        assert abs(slope - np.sum(gradient(dy) * direction)) < 1e-7 * scale


def test_linear(rng: np.random.Generator) -> None:
    x, w, b = (rng.standard_normal(shape) for shape in ((4, 5), (3, 5), (3,)))
    f = reference
    check_gradient(lambda x: f.linear(x, w, b), lambda dy: f.linear_backward_input(dy, w), x)
    check_gradient(lambda w: f.linear(x, w, b), lambda dy: f.linear_backward_weight(dy, x), w)
    check_gradient(lambda b: f.linear(x, w, b), f.linear_backward_bias, b)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONV)
def test_conv2d(name: str, rng: np.random.Generator) -> None:
    geometry = dict(CONV[name])
    x, w = (rng.standard_normal(geometry.pop(key)) for key in ("x", "weight"))
    b = rng.standard_normal(w.shape[0])
    f = reference
    check_gradient(
        lambda x: f.conv2d(x, w, b, **geometry),
        lambda dy: f.conv2d_backward_input(dy, w, x.shape, **geometry),
        x,
    )
    check_gradient(
        lambda w: f.conv2d(x, w, b, **geometry),
        lambda dy: f.conv2d_backward_weight(dy, x, w.shape, **geometry),
        w,
    )
    check_gradient(lambda b: f.conv2d(x, w, b, **geometry), f.conv2d_backward_bias, b)


def without_ties(rng: np.random.Generator, *shape: int) -> Array:
    """Draw values at least 0.01 apart and 0.005 from 0, so that a small step meets no kink."""
    return (rng.permutation(np.prod(shape)).reshape(shape) + 0.5 - np.prod(shape) // 2) * 0.01


@pytest.mark.parametrize("name", POOL)
def test_pools(name: str, rng: np.random.Generator) -> None:
    x, kernel = without_ties(rng, *POOL[name]["x"]), POOL[name]["kernel_size"]
    window = pool_arguments(POOL[name], WINDOW)
    _, indices = reference.max_pool2d(x, kernel, **window)
    seen = indices >= 0  # a window in the padding gives -inf, which has no slope
    check_gradient(
        lambda x: np.where(seen, reference.max_pool2d(x, kernel, **window)[0], 0.0),
        lambda dy: reference.max_pool2d_backward(dy, indices, x.shape),
        x,
    )
    for count_include_pad in (True, False):
        average = {
            **pool_arguments(POOL[name], AVERAGE),
            "count_include_pad": count_include_pad,
        }
        check_gradient(
            lambda x: reference.avg_pool2d(x, kernel, **average),  # noqa: B023
            lambda dy: reference.avg_pool2d_backward(dy, x.shape, kernel, **average),  # noqa: B023
            x,
        )


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_activations(name: str, rng: np.random.Generator) -> None:
    forward, backward = getattr(reference, name), getattr(reference, f"{name}_backward")
    x = without_ties(rng, 5, 9) * 10
    check_gradient(forward, lambda dy: backward(dy, forward(x)), x)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4, 2)])
def test_batch_norm(shape: tuple[int, ...], training: bool, rng: np.random.Generator) -> None:
    x, mean = rng.standard_normal(shape), rng.standard_normal(3)
    gamma, beta, variance = rng.uniform(0.5, 2, (3, 3))

    def forward(x: Array, gamma: Array, beta: Array) -> tuple[Array, ...]:
        return reference.batch_norm(x, gamma, beta, mean, variance, training=training)

    def gradients(dy: Array) -> tuple[Array, ...]:
        _, saved_mean, inv_std, *_ = forward(x, gamma, beta)
        return reference.batch_norm_backward(dy, x, gamma, saved_mean, inv_std, training=training)

    check_gradient(lambda x: forward(x, gamma, beta)[0], lambda dy: gradients(dy)[0], x)
    check_gradient(lambda gamma: forward(x, gamma, beta)[0], lambda dy: gradients(dy)[1], gamma)
    check_gradient(lambda beta: forward(x, gamma, beta)[0], lambda dy: gradients(dy)[2], beta)


def test_philox() -> None:
    """The known answers of Random123, the library of Philox's authors."""
    zeros, ones = np.zeros((4, 1), np.uint64), np.full((4, 1), 2**32 - 1, np.uint64)
    for counter, key, rounds, words in (
        (zeros, (0, 0), 7, "5f6fb709 0d893f64 4f121f81 4f730a48"),
        (ones, (2**32 - 1, 2**32 - 1), 7, "5207ddc2 45165e59 4d8ee751 8c52f662"),
        (zeros, (0, 0), 10, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (ones, (2**32 - 1, 2**32 - 1), 10, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ):
        got = reference.philox(counter, key, rounds).ravel()
        assert " ".join(f"{word:08x}" for word in got) == words


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["labels", "ignored", "soft"])
def test_cross_entropy(
    kind: str, smoothing: float, reduction: str, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((4, 5))
    labels = rng.random((4, 5)) if kind == "soft" else LABELS
    kwargs = {
        "reduction": reduction,
        "label_smoothing": smoothing,
        "ignore_index": 3 if kind == "ignored" else -100,
    }
    _, p = reference.softmax_cross_entropy(x, labels, **kwargs)
    check_gradient(
        lambda x: reference.softmax_cross_entropy(x, labels, **kwargs)[0],
        lambda dy: reference.softmax_cross_entropy_backward(p, labels, dy, **kwargs),
        x,
    )


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_squared_error(reduction: str, rng: np.random.Generator) -> None:
    x, target = rng.standard_normal((2, 4, 3))
    check_gradient(
        lambda x: reference.squared_error(x, target, reduction=reduction),
        lambda dy: reference.squared_error_backward(x, target, dy, reduction=reduction),
        x,
    )


# --------------------------------------------------------------------------------------------------
# Known examples


def test_the_tutorials_convolution() -> None:
    """Tutorial A's convolution: a 5x5x3 image, two 3x3 filters, stride 2, padding 1.

    The output is 3x3x2, and its corner is computed by hand.
    """
    shape = CONV["tutorial"]
    assert conv_output_shape(**shape) == (1, 2, 3, 3)
    x = np.arange(75.0).reshape(shape["x"])
    w = np.arange(54.0).reshape(shape["weight"])
    y = reference.conv2d(x, w, np.array([1.0, 0.0]), stride=2, padding=1)
    assert y[0, 0, 0, 0] == 1 + np.sum(x[0, :, :2, :2] * w[0, :, 1:, 1:])
    assert y[0, 1, 1, 2] == np.sum(x[0, :, 1:4, 3:] * w[1, :, :, :2])


def test_average_with_ceil_mode_and_padding() -> None:
    """A window is divided by the size of its part inside input and padding (pytorch#87892)."""
    x = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16.0]])[None, None]
    y = reference.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)[0, 0]
    np.testing.assert_allclose(y, [[14 / 9, 30 / 9, 2], [57 / 9, 11, 6], [4.5, 7.5, 4]])


def test_ceil_mode_drops_a_window_that_starts_in_the_padding() -> None:
    """9 values, window 4, stride 4 and padding 2 make 3 windows, not 4 (pytorch#116420)."""
    y, _ = reference.max_pool2d(np.zeros((1, 1, 9, 9)), 4, padding=2, ceil_mode=True)
    assert y.shape == (1, 1, 3, 3)


def test_max_pool_ties_nan_and_padding() -> None:
    nan, inf = np.nan, np.inf
    x = np.array([[2, 2, nan, 1], [2, 2, 7, nan], [-inf, -inf, 0, 0], [-inf, -inf, 0, 0]])
    y, indices = reference.max_pool2d(x[None, None], 2)
    np.testing.assert_array_equal(y[0, 0], [[2, nan], [-inf, 0]])
    np.testing.assert_array_equal(indices[0, 0], [[0, 7], [8, 10]])
    y, indices = reference.max_pool2d(np.ones((1, 1, 1, 1)), 1, padding=1)
    np.testing.assert_array_equal(indices[0, 0], [[-1, -1, -1], [-1, 0, -1], [-1, -1, -1]])
    assert y[0, 0, 0, 0] == -inf


def test_cross_entropy_of_masked_classes() -> None:
    """A class with logit -inf adds no loss unless it is the target, and has no gradient."""
    logits = np.array([[0.0, -np.inf, 0.0], [0.0, -np.inf, 0.0]])
    loss, p = reference.softmax_cross_entropy(logits, np.array([2, 1]), reduction="none")
    np.testing.assert_allclose(loss, [np.log(2), np.inf])
    gradient = reference.softmax_cross_entropy_backward(p[:1], np.array([2]))
    np.testing.assert_allclose(gradient, [[0.5, 0, -0.5]])


def test_a_mean_over_no_row_is_nan() -> None:
    logits, ignored = np.zeros((2, 3)), np.array([-100, -100])
    assert np.isnan(reference.softmax_cross_entropy(logits, ignored)[0])
    assert not reference.softmax_cross_entropy_backward(logits, ignored).any()
    assert np.isnan(reference.squared_error(np.zeros((0, 3)), np.zeros((0, 3))))


# --------------------------------------------------------------------------------------------------
# Comparison with PyTorch in float64


def close(ours: Array, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12, atol=1e-12)


def padded(torch: Any, x: Any, padding: reference.Padding, value: float) -> Any:
    (top, bottom), (left, right) = reference.sides(padding)
    return torch.nn.functional.pad(x, (left, right, top, bottom), value=value)


@pytest.mark.parametrize("name", CONV)
def test_conv2d_as_pytorch(name: str, rng: np.random.Generator, torch: Any) -> None:
    geometry = dict(CONV[name])
    x, w = (torch.tensor(rng.standard_normal(geometry.pop(k))) for k in ("x", "weight"))
    b = torch.tensor(rng.standard_normal(w.shape[0]))
    for leaf in (x, w, b):
        leaf.requires_grad_()
    rest = {key: value for key, value in geometry.items() if key != "padding"}
    y = torch.nn.functional.conv2d(padded(torch, x, geometry.get("padding", 0), 0.0), w, b, **rest)
    dy = rng.standard_normal(y.shape)
    y.backward(torch.tensor(dy))
    xs, ws = x.detach().numpy(), w.detach().numpy()
    close(reference.conv2d(xs, ws, b.detach().numpy(), **geometry), y)
    close(reference.conv2d_backward_input(dy, ws, xs.shape, **geometry), x.grad)
    close(reference.conv2d_backward_weight(dy, xs, ws.shape, **geometry), w.grad)
    close(reference.conv2d_backward_bias(dy), b.grad)


def takes_padding(shape: dict[str, Any]) -> bool:
    """PyTorch's pooling takes symmetric padding of at most half a window."""
    sides = reference.sides(shape.get("padding", 0))
    kernel = reference.pair(shape["kernel_size"])
    return all(a == b and 2 * a <= k for (a, b), k in zip(sides, kernel, strict=True))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 4, 2)])
def test_batch_norm_as_pytorch(
    shape: tuple[int, ...], training: bool, rng: np.random.Generator, torch: Any
) -> None:
    """The output uses the biased variance, and the running variance the unbiased one.

    `momentum` is the weight of the new statistics.
    """
    arrays = rng.standard_normal(shape), *rng.uniform(0.5, 2, (4, 3))
    y, mean, inv_std, *running = reference.batch_norm(
        *arrays, training=training, momentum=0.3, eps=0.01
    )
    x, gamma, beta, *theirs = (torch.tensor(array) for array in arrays)
    leaves = [tensor.requires_grad_() for tensor in (x, gamma, beta)]
    out = torch.nn.functional.batch_norm(x, *theirs, gamma, beta, training, 0.3, 0.01)
    np.testing.assert_allclose(y, out.detach().numpy(), rtol=1e-12, atol=1e-12)
    for mine, other in zip(running, theirs, strict=True):
        np.testing.assert_allclose(mine, other.numpy(), rtol=1e-12)
    dy = rng.standard_normal(shape)
    out.backward(torch.tensor(dy))
    gradients = reference.batch_norm_backward(
        dy, arrays[0], arrays[1], mean, inv_std, training=training
    )
    for mine, leaf in zip(gradients, leaves, strict=True):
        np.testing.assert_allclose(mine, leaf.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, shape in POOL.items() if takes_padding(shape)])
def test_pools_as_pytorch(name: str, rng: np.random.Generator, torch: Any) -> None:
    shape, functional = POOL[name], torch.nn.functional
    x = torch.tensor(rng.integers(-3, 4, shape["x"]) * 1.0, requires_grad=True)  # with ties
    xs, kernel = x.detach().numpy(), shape["kernel_size"]
    window = pool_arguments(shape, WINDOW)
    y, at = functional.max_pool2d(x, kernel, return_indices=True, **window)
    ours, indices = reference.max_pool2d(xs, kernel, **window)
    close(ours, y)
    np.testing.assert_array_equal(indices, at)
    dy = rng.standard_normal(y.shape)
    y.backward(torch.tensor(dy))
    close(reference.max_pool2d_backward(dy, indices, xs.shape), x.grad)
    if "dilation" in shape:
        return
    for count_include_pad in (True, False):
        average = {**window, "count_include_pad": count_include_pad}
        x.grad = None
        y = functional.avg_pool2d(x, kernel, **average)
        close(reference.avg_pool2d(xs, kernel, **average), y)
        y.backward(torch.tensor(dy))
        close(reference.avg_pool2d_backward(dy, xs.shape, kernel, **average), x.grad)


@pytest.mark.parametrize("kind", ["labels", "ignored", "all-ignored", "soft", "masked"])
def test_cross_entropy_as_pytorch(kind: str, rng: np.random.Generator, torch: Any) -> None:
    for smoothing, reduction in product((0.0, 0.3), ("none", "mean", "sum")):
        logits = rng.standard_normal((4, 5)) * 3
        if kind == "masked":
            logits[1, 2] = -np.inf
        labels = rng.random((4, 5)) if kind == "soft" else LABELS
        if kind == "all-ignored":
            labels = np.full(4, 3)
        kwargs = {
            "reduction": reduction,
            "label_smoothing": smoothing,
            "ignore_index": 3 if "ignored" in kind else -100,
        }
        x = torch.tensor(logits, requires_grad=True)
        theirs = torch.nn.functional.cross_entropy(x, torch.tensor(labels), **kwargs)
        loss, p = reference.softmax_cross_entropy(logits, labels, **kwargs)
        close(loss, theirs)
        dy = rng.standard_normal(loss.shape)
        theirs.backward(torch.tensor(dy))
        if kind == "masked" and smoothing > 0:
            continue  # the loss is infinite: PyTorch's gradient is NaN, ours is finite
        close(reference.softmax_cross_entropy_backward(p, labels, dy, **kwargs), x.grad)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_squared_error_as_pytorch(reduction: str, rng: np.random.Generator, torch: Any) -> None:
    x, target = (torch.tensor(a) for a in rng.standard_normal((2, 4, 3)))
    theirs = torch.nn.functional.mse_loss(x, target, reduction=reduction)
    close(reference.squared_error(x.numpy(), target.numpy(), reduction=reduction), theirs)


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "softmax", "log_softmax"])
def test_elementwise_as_pytorch(name: str, torch: Any) -> None:
    values = np.array([[0.0, -0.0, 1.5, -2.5, 800, -800], [np.nan, 1, 2, 3, 4, 5], [np.inf] * 6])
    theirs = getattr(torch, name)(torch.tensor(values), *([-1] if "softmax" in name else []))
    with np.errstate(all="ignore"):
        close(getattr(reference, name)(values), theirs)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.5, "weight_decay": 0.1},
        {"momentum": 0.5, "dampening": 0.3, "weight_decay": 0.1},
        {"dampening": 0.3},
    ],
    ids=repr,
)
def test_sgd_as_pytorch(kwargs: dict[str, Any], rng: np.random.Generator, torch: Any) -> None:
    p = rng.standard_normal(5)
    theirs = torch.tensor(p, requires_grad=True)
    optimizer = torch.optim.SGD([theirs], lr=0.1, **kwargs)
    velocity = np.zeros(5)
    dampening = kwargs.pop("dampening", 0.0)
    for step, gradient in enumerate(rng.standard_normal((4, 5))):
        theirs.grad = torch.tensor(gradient)
        optimizer.step()
        kwargs["dampening"] = dampening if step else 0.0  # the first gradient is not damped
        p, velocity = reference.sgd_step(p, gradient, velocity, lr=0.1, **kwargs)
        close(p, theirs)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize(
    "kwargs", [{}, {"weight_decay": 0.1}, {"betas": (0.5, 0.7), "eps": 0.1}], ids=repr
)
def test_adam_as_pytorch(
    name: str, kwargs: dict[str, Any], rng: np.random.Generator, torch: Any
) -> None:
    p = rng.standard_normal(5)
    theirs = torch.tensor(p, requires_grad=True)
    kwargs = {"weight_decay": 0.0, **kwargs}
    optimizer = getattr(torch.optim, name)([theirs], lr=0.1, **kwargs)
    beta1, beta2 = kwargs.pop("betas", (0.9, 0.999))
    moments = np.zeros(5), np.zeros(5)
    for step, gradient in enumerate(rng.standard_normal((4, 5)), start=1):
        theirs.grad = torch.tensor(gradient)
        optimizer.step()
        settings = {"lr": 0.1, "beta1": beta1, "beta2": beta2, "decoupled": name == "AdamW"}
        p, *moments = reference.adam_step(p, gradient, *moments, step=step, **settings, **kwargs)
        close(p, theirs)
