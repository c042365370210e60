"""Batch normalization on an emulated GPU: the bounds of the CPU's kernels, and their edge cases."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import reference
from calls import Array, Call, Fill
from cuda_support import call, device, most_blocks
from ops import NORM, check, check_exact, draw
from tolerance import assert_same_bits

F32 = np.float32
# Batches and planes around the numbers of threads: a block has 512, 64 for each of 8 channels, and
# planes of 16 values or more have a block per channel.
SHAPES = [
    *((2, 1), (3, 63), (65, 8), (64, 9), (1, 7, 1, 2), (130, 17)),
    *((2, 9, 3, 5), (2, 3, 4, 4), (5, 2, 15, 1), (1, 1, 16, 32), (1, 2, 27, 19), (33, 2, 11, 3)),
]


class BatchNormShape(ctypes.Structure):
    """The structure of ops/batch_norm.h."""

    _fields_ = tuple((name, ctypes.c_int64) for name in ("batch", "channels", "plane"))


class BatchNormGradients(ctypes.Structure):
    """The structure of ops/batch_norm.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("dy", "x", "gamma", "mean", "inv_std")),
        ("training", ctypes.c_bool),
        *((name, ctypes.c_void_p) for name in ("dx", "dgamma", "dbeta")),
    )


def norm_shape(x: Array) -> BatchNormShape:
    return BatchNormShape(*x.shape[:2], int(np.prod(x.shape[2:])))


def batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, ...]:
    """Return y, the mean, 1 / sqrt(variance + eps), and the running statistics."""
    c = (x.shape[1],)
    with device() as d:
        inputs = [d.put(a) for a in (x, gamma, beta)]
        running = [d.put(a) for a in (running_mean, running_var)]
        outs = [d.empty(x.size), d.empty(*c), d.empty(*c)]
        shape = norm_shape(x)
        if training:
            call("batch_norm_training", shape, *inputs, momentum, eps, *running, *outs)
        else:
            call("batch_norm_inference", shape, *inputs, eps, *running, *outs)
        results = zip((*outs, *running), (x.shape, c, c, c, c), strict=True)
        return tuple(d.get(address, shape) for address, shape in results)


def batch_norm_backward(
    *arrays: Array, training: bool = True, input_gradient: bool = True
) -> tuple[Any, ...]:
    """Return dx, or None if it is not wanted, and the gradients of gamma and beta."""
    x = arrays[1]
    c = (x.shape[1],)
    with device() as d:
        inputs = [d.put(a) for a in arrays]
        outs = [d.empty(x.size) if input_gradient else 0, d.empty(*c), d.empty(*c)]
        call("batch_norm_backward", norm_shape(x), BatchNormGradients(*inputs, training, *outs))
        dx = d.get(outs[0], x.shape) if input_gradient else None
        return dx, d.get(outs[1], c), d.get(outs[2], c)


def run(c: Call) -> tuple[Array, ...]:
    return globals()[c.op](*c.args, **c.kwargs)


def arguments(rng: np.random.Generator, *shape: int) -> list[Array]:
    fill = Fill(rng)
    return [fill(*shape), *(fill(shape[1]) for _ in range(3)), np.ones(shape[1], F32)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_results_and_gradients(
    shape: tuple[int, ...], training: bool, rng: np.random.Generator
) -> None:
    for op in ("batch_norm", "batch_norm_backward"):
        c = draw(op, Fill(rng), {"x": shape, "training": training})
        check(c, run(c))
        c = draw(op, Fill(rng), {"x": shape, "training": training, "momentum": 0.5, "eps": 0.25})
        check(c, run(c))


@pytest.mark.parametrize("shape", [(8, 3), (2, 9, 2, 2), (1, 3, 2, 4)], ids=str)
def test_gradients_of_integers_are_exact(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """A division by 8 is exact."""
    c = draw("batch_norm_backward", Fill(rng, integers=True), {"x": shape})
    check_exact(c, run(c))


def test_sums_of_integers_are_exact(rng: np.random.Generator) -> None:
    c = draw(
        "batch_norm_backward", Fill(rng, integers=True), {"x": (31, 3, 5, 7), "training": False}
    )
    check_exact(c, run(c))


@pytest.mark.parametrize("shape", [(1024, 3), (16, 3, 8, 8)], ids=str)
def test_a_mean_that_is_large_beside_the_spread(
    shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    """The mean is 10^4 standard deviations, and the variance is still right.

    In float32, E[x^2] - E[x]^2 would have no correct digit: the square of the ratio is 10^8.
    """
    x, *rest = arguments(rng, *shape)
    x += 10_000
    exact = reference.batch_norm(x, *rest, training=True)
    y, _, inv_std, *_ = batch_norm(x, *rest, training=True)
    assert np.abs(inv_std / exact[2] - 1).max() < 1e-6
    assert np.abs(y - exact[0]).max() < 1e-5


@pytest.mark.parametrize("shape", [(1024, 3), (16, 3, 8, 8)], ids=str)
def test_gradients_if_the_mean_is_large_beside_the_spread(
    shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    """The gradients are those of the exact mean.

    saved_mean is rounded to float32. If the mean is 1e5 standard deviations, the rounding error is
    up to 0.004 standard deviations.
    """
    for offset in (0.0, 1e4, -1e5):
        x, gamma, beta, mean, variance = arguments(rng, *shape)
        x += F32(offset)
        dy = rng.standard_normal(shape, F32) + 1  # so that sum(dy) is large
        plain = np.ones(shape[1]), np.zeros(shape[1]), mean, variance
        normalized, *exact = reference.batch_norm(x, *plain, training=True)
        _, *saved = batch_norm(x, gamma, beta, mean, variance, training=True)
        expected = reference.batch_norm_backward(dy, x, gamma, *exact[:2])
        got = batch_norm_backward(dy, x, gamma, *saved[:2])
        axes = (0, *range(2, x.ndim))
        sums = np.abs(dy * normalized).sum(axes), np.abs(dy).sum(axes)
        sizes = 20 * np.abs(expected[0]).max(), *sums
        for a, b, size in zip(got, expected, sizes, strict=True):
            assert np.all(np.abs(a - b) < 1e-7 * size)


def test_a_mean_that_is_not_that_of_x_is_used_as_it_is(rng: np.random.Generator) -> None:
    fill = Fill(rng)
    for shape in ((40, 3), (4, 3, 5, 5)):
        x, mean = fill(*shape), fill(3)
        c = Call("batch_norm_backward", (fill(*shape), x, fill(3), mean, np.abs(fill(3))), {})
        check(c, run(c))


@pytest.mark.parametrize("scale", [1e-20, 1e-10, 1e10, 1e20, 1e37])
@pytest.mark.parametrize("shape", [(64, 5), (3, 5), (4, 5, 6, 7)], ids=str)
def test_values_of_any_magnitude(
    shape: tuple[int, ...], scale: float, rng: np.random.Generator
) -> None:
    """Values may be so large or small that float32 cannot hold their squares (1e20, 1e-23)."""
    x, *rest = arguments(rng, *shape)
    x = np.clip(x, -2, 2) * F32(scale / 2)
    eps = 1e-5 if scale > 1 else 0.0
    exact = reference.batch_norm(x, *rest, training=True, eps=eps)
    y, *statistics = batch_norm(x, *rest, training=True, eps=eps)
    assert np.abs(y - exact[0]).max() < 1e-5
    cancelled = 1e-6 * np.abs(x).max()  # the mean may be much smaller than the values
    for got, want, atol in zip(statistics, exact[1:], (cancelled, 0) * 2, strict=True):
        want = np.minimum(want, np.finfo(F32).max)  # running_var stops at the largest float32
        assert np.isfinite(got).all()
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=atol)
    dy = rng.standard_normal(shape, F32)
    expected = reference.batch_norm_backward(dy, x, rest[0], exact[1], exact[2])
    gradients = batch_norm_backward(dy, x, rest[0], *statistics[:2])
    for a, b in zip(gradients, expected, strict=True):
        assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max() + 2.0**-140
    again, *_ = batch_norm(x, *rest[:2], *statistics[2:], training=False)
    assert np.isfinite(again).all()


def test_a_running_variance_beyond_float32_is_the_largest() -> None:
    x = F32([[1e20], [-1e20]])
    one, zero = np.ones(1, F32), np.zeros(1, F32)
    y, _, _, _, variance = batch_norm(x, one, one, zero, one, training=True)
    np.testing.assert_allclose(y, [[2], [0]], atol=1e-6)
    assert variance[0] == np.finfo(F32).max


def test_equal_values_have_no_variance() -> None:
    one, zero = np.ones(5, F32), np.zeros(5, F32)
    for shape in ((50, 5), (3, 5, 4, 5)):
        x = np.full(shape, 1 / 3, F32)
        y, mean, inv_std, *_ = batch_norm(x, one, one * 2, zero, one, training=True)
        np.testing.assert_allclose(inv_std, 1 / np.sqrt(1e-5), rtol=1e-6)
        np.testing.assert_allclose(mean, 1 / 3, rtol=1e-7)
        np.testing.assert_allclose(y, 2, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(9, 5), (2, 5, 4, 5)], ids=str)
def test_nan_and_infinity_stay_in_their_channel(
    shape: tuple[int, ...], bad: float, rng: np.random.Generator
) -> None:
    x, *rest = arguments(rng, *shape)
    x[1, 3] = bad
    own = np.arange(5) == 3
    y, *statistics = batch_norm(x, *rest, training=True)
    for array in (y.swapaxes(0, 1).reshape(5, -1).T, *statistics):
        np.testing.assert_array_equal(np.isnan(array), np.broadcast_to(own, array.shape))
    dy = np.ones(shape, F32)
    dx, *_ = batch_norm_backward(dy, x, rest[0], *statistics[:2])
    assert np.isnan(dx[:, 3]).all() and not np.isnan(dx[:, ~own]).any()
    # In inference, the gradient of x does not depend on x.
    constants = np.ones(5, F32), np.ones(5, F32)
    dx, *_ = batch_norm_backward(dy, x, rest[0], *constants, training=False)
    assert np.isfinite(dx).all()


def test_one_value_a_channel_in_inference(rng: np.random.Generator) -> None:
    for shape in ((1, 3), (1, 3, 1, 1)):
        c = Call("batch_norm", tuple(arguments(rng, *shape)), {"training": False})
        check(c, run(c))


@pytest.mark.parametrize("shape", [(0, 3), (2, 3, 0, 4), (0, 9, 64, 64), (4, 0, 3, 3)], ids=str)
def test_without_values_nothing_is_updated(shape: tuple[int, ...]) -> None:
    one, mean, variance = (np.full(shape[1], value, F32) for value in (1, 7, 5))
    y, *statistics = batch_norm(np.ones(shape, F32), one, one, mean, variance, training=True)
    assert y.shape == shape
    expected = 0.0, 1 / np.sqrt(1e-5), 7.0, 5.0
    for array, value in zip(statistics, expected, strict=True):
        np.testing.assert_allclose(array, np.full(shape[1], value), rtol=1e-7)
    x = np.ones(shape, F32)
    for training in (True, False):
        infinite = np.full(shape[1], np.inf, F32)
        _, dgamma, dbeta = batch_norm_backward(x, x, one, mean, infinite, training=training)
        assert (dgamma == 0).all() and (dbeta == 0).all()


def test_empty_batches(rng: np.random.Generator) -> None:
    for op in ("batch_norm", "batch_norm_backward"):
        for shape in NORM["empty"]:
            if shape["x"][1] <= 4096 and (op != "batch_norm" or not shape["training"]):
                c = draw(op, Fill(rng), shape)
                check(c, run(c))


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 4, 4)], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_the_input_gradient_alone_can_be_left_out(
    shape: tuple[int, ...], training: bool, rng: np.random.Generator
) -> None:
    fill = Fill(rng)
    args = fill(*shape), fill(*shape), fill(3), fill(3), np.abs(fill(3))
    expected = batch_norm_backward(*args, training=training)
    dx, *others = batch_norm_backward(*args, training=training, input_gradient=False)
    assert dx is None and all(map(np.array_equal, others, expected[1:]))


@pytest.mark.parametrize("shape", [(2, 21, 4, 4), (40, 70)], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_more_work_than_blocks(
    shape: tuple[int, ...], training: bool, rng: np.random.Generator
) -> None:
    for op in ("batch_norm", "batch_norm_backward"):
        c = draw(op, Fill(rng), {"x": shape, "training": training})
        whole = run(c)
        with most_blocks(2):
            for a, b in zip(run(c), whole, strict=True):
                assert_same_bits(a, b)
