"""Batch normalisation: what the promises of test_every_kernel.py do not cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from byhand import kernels
from calls import Array, Call, Fill
from ops import check

F32 = np.float32


def arguments(rng: np.random.Generator, *shape: int) -> list[Array]:
    fill = Fill(rng)
    return [fill(*shape), *(fill(shape[1]) for _ in range(3)), np.ones(shape[1], F32)]


def test_shapes_round_the_blocks(isa: str, rng: np.random.Generator) -> None:
    """Channels and rows that blocks and vectors cut in every way."""
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
    shape: tuple[int, ...], isa: str, rng: np.random.Generator
) -> None:
    """E[x^2] - E[x]^2 in float32 has no right digit here: the ratio of 10^4 squared is 10^8."""
    x, gamma, beta, mean, variance = arguments(rng, *shape)
    x += 10_000
    exact = reference.batch_norm(x, gamma, beta, mean, variance, training=True)
    y, _, inv_std = kernels.batch_norm(x, gamma, beta, mean, variance, training=True)
    assert np.abs(inv_std / exact[2] - 1).max() < 1e-6
    assert np.abs(y - exact[0]).max() < 1e-5


def test_equal_values_have_no_variance(isa: str) -> None:
    x = np.full((50, 5), 1 / 3, F32)
    one, zero = np.ones(5, F32), np.zeros(5, F32)
    y, mean, inv_std = kernels.batch_norm(x, one, one * 2, zero.copy(), one.copy(), training=True)
    np.testing.assert_allclose(inv_std, 1 / np.sqrt(1e-5), rtol=1e-6)
    np.testing.assert_allclose(mean, 1 / 3, rtol=1e-7)
    np.testing.assert_allclose(y, 2, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(9, 5), (2, 5, 3, 3)])
def test_nan_and_infinity_stay_in_their_channel(
    shape: tuple[int, ...], bad: float, isa: str, rng: np.random.Generator
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
    # Without training x is no part of its own gradient.
    constants = np.ones(5, F32), np.ones(5, F32)
    grad_x, *_ = kernels.batch_norm_backward(dy, x, rest[0], *constants, training=False)
    assert grad_x is not None and np.isfinite(grad_x).all()


def test_one_value_a_channel(rng: np.random.Generator) -> None:
    """As PyTorch: refused in training, where it has no unbiased variance."""
    for shape in ((1, 3), (1, 3, 1, 1)):
        args = arguments(rng, *shape)
        before = [array.copy() for array in args]
        with pytest.raises(ValueError, match=r"more than one value a channel.*\(1, 3"):
            kernels.batch_norm(*args, training=True)
        assert all(map(np.array_equal, args, before))
        call = Call("batch_norm", tuple(args), {"training": False})
        check(call, call.run())


def test_without_values_nothing_is_updated() -> None:
    for shape in ((0, 3), (2, 3, 0, 4)):
        mean, variance = np.full(3, 7, F32), np.full(3, 5, F32)
        one = np.ones(3, F32)
        y, *_ = kernels.batch_norm(np.ones(shape, F32), one, one, mean, variance, training=True)
        assert y.shape == shape and (mean == 7).all() and (variance == 5).all()


def test_the_input_gradient_alone_can_be_left_out(rng: np.random.Generator) -> None:
    fill = Fill(rng)
    args = fill(6, 3), fill(6, 3), fill(3), fill(3), np.abs(fill(3))
    expected = kernels.batch_norm_backward(*args)
    grad_x, *others = kernels.batch_norm_backward(*args, input_gradient=False)
    assert grad_x is None and all(map(np.array_equal, others, expected[1:]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"training": 1}, "training"),
        ({"training": True, "momentum": "x"}, "momentum"),
        ({"training": True, "momentum": 1.5}, "momentum must be from 0 to 1, got 1.5"),
        ({"training": True, "epsilon": -1e-5}, "epsilon must be at least 0, got -1e-05"),
        ({"training": True, "epsilon": float("nan")}, "epsilon"),
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
