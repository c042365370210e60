"""Batch normalisation: what the promises of test_every_kernel.py do not cover."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import reference
from byhand import kernels
from calls import Array, Call, Fill
from devices import SCHEDULES, few_blocks
from ops import check, check_exact, draw
from tolerance import assert_same_bits

F32 = np.float32
OPS_OF = ("batch_norm", "batch_norm_backward")
# Batches and planes around the 512 threads of a block of CUDA. A block has a channel if the plane
# has 16 values or more, otherwise it has 8 channels of 64 threads each.
BLOCKS = [
    *((2, 1), (3, 63), (65, 8), (64, 9), (1, 7, 1, 2), (130, 17)),
    *((2, 9, 3, 5), (2, 3, 4, 4), (5, 2, 15, 1), (1, 1, 16, 32), (1, 2, 27, 19), (33, 2, 11, 3)),
]


def arguments(rng: np.random.Generator, *shape: int) -> list[Array]:
    fill = Fill(rng)
    return [fill(*shape), *(fill(shape[1]) for _ in range(3)), np.ones(shape[1], F32)]


@pytest.mark.parametrize("shape", BLOCKS, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_results_and_gradients(
    training: bool, shape: tuple[int, ...], device: str, rng: np.random.Generator
) -> None:
    for op in OPS_OF:
        for settings in ({}, {"momentum": 0.5, "eps": 0.25}):
            call = draw(op, Fill(rng), {"x": shape, "training": training, **settings})
            check(call, call.run())


@pytest.mark.parametrize(
    ("shape", "training"),
    [((8, 3), True), ((2, 9, 2, 2), True), ((1, 3, 2, 4), True), ((31, 3, 5, 7), False)],
    ids=str,
)
def test_gradients_of_integers_are_exact(
    shape: tuple[int, ...], training: bool, device: str, rng: np.random.Generator
) -> None:
    """A division by 8, the number of values per channel, is exact. Inference has no division."""
    call = draw("batch_norm_backward", Fill(rng, True), {"x": shape, "training": training})
    check_exact(call, call.run())


@pytest.mark.parametrize("shape", [(16, 3), (4, 3, 5, 5)], ids=str)
def test_a_running_mean_is_used_as_it_is(
    shape: tuple[int, ...], device: str, rng: np.random.Generator
) -> None:
    """In inference, the mean is a constant, even if it is the mean of x up to rounding."""
    x, gamma, *_ = arguments(rng, *shape)
    x += 10_000
    dy = np.ones(shape, F32)  # the sum of dy is large, so a correction of the mean would show
    axes = (0, *range(2, x.ndim))
    mean, inv_std = x.mean(axes, np.float64).astype(F32), np.ones(3, F32)
    _, dgamma, _ = kernels.batch_norm_backward(dy, x, gamma, mean, inv_std, training=False)
    centered = x - mean.reshape(-1, *[1] * (x.ndim - 2)).astype(np.float64)
    np.testing.assert_allclose(dgamma, centered.sum(axes), rtol=1e-6)


def test_shapes_round_the_blocks(isa: str, rng: np.random.Generator) -> None:
    """Numbers of channels and rows that blocks and vectors cut in every way."""
    for shape in (
        (3, 63),
        (65, 64),
        (1025, 3),
        (7, 129),
        (2, 65, 3, 3),
        (5, 130, 2, 2),
        (2, 3, 70, 70),
        (33, 2, 11, 13),
    ):
        call = Call("batch_norm", tuple(arguments(rng, *shape)), {"training": True})
        check(call, call.run())
        fill = Fill(rng)
        mean, inv_std = fill(shape[1]), np.abs(fill(shape[1]))
        call = Call(
            "batch_norm_backward", (fill(*shape), fill(*shape), fill(shape[1]), mean, inv_std), {}
        )
        check(call, call.run())


@pytest.mark.parametrize("shape", [(4096, 3), (64, 3, 8, 8)])
def test_a_mean_that_is_large_beside_the_spread(
    shape: tuple[int, ...], device: str, rng: np.random.Generator
) -> None:
    """The mean is 10^4 standard deviations, and the variance is still right.

    In float32, E[x^2] - E[x]^2 would have no correct digit: the square of the ratio is 10^8.
    """
    x, gamma, beta, mean, variance = arguments(rng, *shape)
    x += 10_000
    exact = reference.batch_norm(x, gamma, beta, mean, variance, training=True)
    y, _, inv_std = kernels.batch_norm(x, gamma, beta, mean, variance, training=True)
    assert np.abs(inv_std / exact[2] - 1).max() < 1e-6
    assert np.abs(y - exact[0]).max() < 1e-5


@pytest.mark.parametrize("shape", [(4096, 3), (64, 3, 8, 8), (7, 70, 3, 3)])
def test_gradients_if_the_mean_is_large_beside_the_spread(
    shape: tuple[int, ...], device: str, rng: np.random.Generator
) -> None:
    """The gradients are those of the exact mean.

    saved_mean is rounded to float32. If the mean is 1e5 standard deviations, the rounding error is
    up to 0.004 standard deviations.
    """
    for offset in (0.0, 1e4, -1e4, 1e5):
        x, gamma, beta, mean, variance = arguments(rng, *shape)
        x += F32(offset)
        dy = rng.standard_normal(shape, F32) + 1  # so that sum(dy) is large
        plain = np.ones(shape[1]), np.zeros(shape[1]), mean, variance
        normalized, *exact = reference.batch_norm(x, *plain, training=True)
        _, *saved = kernels.batch_norm(x, gamma, beta, mean, variance, training=True)
        expected = reference.batch_norm_backward(dy, x, gamma, *exact[:2])
        got = kernels.batch_norm_backward(dy, x, gamma, *saved)
        axes = (0, *range(2, x.ndim))
        sums = np.abs(dy * normalized).sum(axes), np.abs(dy).sum(axes)
        sizes = 20 * np.abs(expected[0]).max(), *sums
        for a, b, size in zip(got, expected, sizes, strict=True):
            assert a is not None
            assert np.all(np.abs(a - b) < 1e-7 * size)


def test_a_mean_that_is_not_that_of_x_is_used_as_it_is(
    device: str, rng: np.random.Generator
) -> None:
    fill = Fill(rng)
    for shape in ((40, 3), (4, 3, 5, 5)):
        args = fill(*shape), fill(*shape), fill(3), fill(3), np.abs(fill(3))
        call = Call("batch_norm_backward", args, {})
        check(call, call.run())


@pytest.mark.parametrize("scale", [1e-20, 1e-10, 1e10, 1e19, 1e20, 1e30, 1e37])
@pytest.mark.parametrize("shape", [(64, 5), (3, 5), (16, 5, 6, 7), (2, 70, 30, 30)])
def test_values_of_any_magnitude(
    shape: tuple[int, ...], scale: float, device: str, rng: np.random.Generator
) -> None:
    """Values may be so large or small that float32 cannot hold their squares (1e20, 1e-23)."""
    if device in SCHEDULES:  # the emulator is slow
        shape = (*shape[:1], *(min(size, 9) for size in shape[1:]))
    x, gamma, beta, mean, variance = arguments(rng, *shape)
    x = np.clip(x, -2, 2) * F32(scale / 2)
    eps = 1e-5 if scale > 1 else 0.0
    kwargs = {"training": True, "eps": eps}
    exact = reference.batch_norm(x, gamma, beta, mean, variance, **kwargs)
    y, *saved = kernels.batch_norm(x, gamma, beta, mean, variance, **kwargs)
    assert np.abs(y - exact[0]).max() < 1e-5
    cancelled = 1e-6 * np.abs(x).max()  # the mean may be much smaller than the values
    for got, want, atol in zip(
        (*saved, mean, variance), exact[1:], (cancelled, 0) * 2, strict=True
    ):
        want = np.minimum(want, np.finfo(F32).max)  # running_var stops at the largest float32
        assert np.isfinite(got).all()
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=atol)
    dy = rng.standard_normal(shape, F32)
    expected = reference.batch_norm_backward(dy, x, gamma, exact[1], exact[2])
    for a, b in zip(kernels.batch_norm_backward(dy, x, gamma, *saved), expected, strict=True):
        assert a is not None
        assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max() + 2.0**-140
    again, *_ = kernels.batch_norm(x, gamma, beta, mean, variance, training=False)
    assert np.isfinite(again).all()


def test_a_running_variance_beyond_float32_is_the_largest(device: str) -> None:
    x = np.array([[1e20], [-1e20]], F32)
    one, mean, variance = np.ones(1, F32), np.zeros(1, F32), np.ones(1, F32)
    y, *_ = kernels.batch_norm(x, one, one, mean, variance, training=True)
    np.testing.assert_allclose(y, [[2], [0]], atol=1e-6)
    assert variance[0] == np.finfo(F32).max


@pytest.mark.parametrize("shape", [(50, 5), (3, 5, 4, 5)], ids=str)
def test_equal_values_have_no_variance(shape: tuple[int, ...], device: str) -> None:
    x = np.full(shape, 1 / 3, F32)
    one, zero = np.ones(5, F32), np.zeros(5, F32)
    y, mean, inv_std = kernels.batch_norm(x, one, one * 2, zero.copy(), one.copy(), training=True)
    np.testing.assert_allclose(inv_std, 1 / np.sqrt(1e-5), rtol=1e-6)
    np.testing.assert_allclose(mean, 1 / 3, rtol=1e-7)
    np.testing.assert_allclose(y, 2, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(9, 5), (2, 5, 3, 3), (2, 5, 4, 5)])
def test_nan_and_infinity_stay_in_their_channel(
    shape: tuple[int, ...], bad: float, device: str, rng: np.random.Generator
) -> None:
    x, *rest = arguments(rng, *shape)
    x[1, 3] = bad
    own = np.arange(5) == 3
    results = kernels.batch_norm(x, *rest, training=True)
    for array in (results[0].swapaxes(0, 1).reshape(5, -1).T, results[2], *rest[2:]):
        np.testing.assert_array_equal(np.isnan(array), np.broadcast_to(own, array.shape))
    dy = np.ones(shape, F32)
    gradients = kernels.batch_norm_backward(dy, x, *rest[:1], *results[1:])
    assert np.isnan(gradients[0][:, 3]).all() and not np.isnan(gradients[0][:, ~own]).any()
    # In inference, the gradient of x does not depend on x.
    constants = np.ones(5, F32), np.ones(5, F32)
    grad_x, *_ = kernels.batch_norm_backward(dy, x, rest[0], *constants, training=False)
    assert grad_x is not None and np.isfinite(grad_x).all()


def test_one_value_a_channel(device: str, rng: np.random.Generator) -> None:
    """Training on one value per channel is refused, as in PyTorch: it has no unbiased variance."""
    for shape in ((1, 3), (1, 3, 1, 1)):
        args = arguments(rng, *shape)
        before = [array.copy() for array in args]
        with pytest.raises(ValueError, match=r"more than one value per channel.*\(1, 3"):
            kernels.batch_norm(*args, training=True)
        assert all(map(np.array_equal, args, before))
        call = Call("batch_norm", tuple(args), {"training": False})
        check(call, call.run())


@pytest.mark.parametrize("shape", [(0, 3), (2, 3, 0, 4), (0, 9, 64, 64), (4, 0, 3, 3)], ids=str)
def test_without_values_nothing_is_updated(shape: tuple[int, ...], device: str) -> None:
    """The mean is 0, and so are the gradients, whatever the saved statistics are."""
    x, one = np.ones(shape, F32), np.ones(shape[1], F32)
    mean, variance = 7 * one, 5 * one
    y, *saved = kernels.batch_norm(x, one, one, mean, variance, training=True)
    assert y.shape == shape and (mean == 7).all() and (variance == 5).all()
    np.testing.assert_array_equal(saved[0], 0 * one)
    np.testing.assert_allclose(saved[1], one / np.sqrt(1e-5), rtol=1e-6)
    for training in (True, False):
        args = x, x, one, mean, np.full_like(one, np.inf)
        _, dgamma, dbeta = kernels.batch_norm_backward(*args, training=training)
        np.testing.assert_array_equal(dgamma, 0 * one)
        np.testing.assert_array_equal(dbeta, 0 * one)


@pytest.mark.parametrize("shape", [(0, 3), (0, 9, 64, 64), (64, 9, 0, 64)], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_empty_arrays(
    training: bool, shape: tuple[int, ...], device: str, rng: np.random.Generator
) -> None:
    for op in OPS_OF:
        call = draw(op, Fill(rng), {"x": shape, "training": training})
        check(call, call.run())


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 4, 4)], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_the_input_gradient_alone_can_be_left_out(
    training: bool, shape: tuple[int, ...], device: str, rng: np.random.Generator
) -> None:
    fill = Fill(rng)
    args = fill(*shape), fill(*shape), fill(3), fill(3), np.abs(fill(3))
    expected = kernels.batch_norm_backward(*args, training=training)
    grad_x, *others = kernels.batch_norm_backward(*args, training=training, input_gradient=False)
    assert grad_x is None and all(map(np.array_equal, others, expected[1:]))


@pytest.mark.parametrize(
    ("shape", "training"),
    [*product([(2, 21, 4, 4), (40, 70)], [True, False]), ((2, 1100), False)],
    ids=str,
)
def test_more_work_than_blocks_on_cuda(
    shape: tuple[int, ...], training: bool, cuda: str, rng: np.random.Generator
) -> None:
    for op in OPS_OF:
        call = draw(op, Fill(rng), {"x": shape, "training": training})
        whole = call.run()
        with few_blocks(2):
            for one, other in zip(call.run(), whole, strict=True):
                assert_same_bits(one, other)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"training": 1}, "training"),
        ({"training": True, "momentum": "x"}, "momentum"),
        ({"training": True, "momentum": 1.5}, "momentum must be from 0 to 1, got 1.5"),
        ({"training": True, "eps": -1e-5}, "eps must be at least 0, got -1e-05"),
        ({"training": True, "eps": float("nan")}, "eps"),
    ],
)
def test_bad_arguments(changes: dict[str, Any], says: str, rng: np.random.Generator) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        kernels.batch_norm(*arguments(rng, 4, 3), **changes)
    for i in range(1, 5):
        args = arguments(rng, 4, 3)
        args[i] = np.ones(4, F32)
        with pytest.raises(ValueError, match=r"must have shape \(3,\).*got.*\(4,\)"):
            kernels.batch_norm(*args, training=True)
