"""Squared error and its gradient on an emulated GPU."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from calls import Array, Call, Fill
from cuda_support import call, device
from ops import check, check_exact
from test_cuda_softmax_cross_entropy import REDUCTIONS, GradLoss

F32 = np.float32
SUMS = 1024  # kPartialSums of cuda/ops.h


def error(prediction: Array, target: Array, reduction: str = "mean") -> Array:
    count = prediction.size
    with device() as d:
        if reduction == "none":
            errors = d.empty(count)
            call("squared_errors", d.put(prediction), d.put(target), count, errors)
            return d.get(errors, prediction.shape)
        scratch, scalar = d.empty(SUMS, 8), d.empty(1)
        arguments = REDUCTIONS.index(reduction), scratch, scalar
        call("squared_error", d.put(prediction), d.put(target), count, *arguments)
        return d.get(scalar, (1,))[0]


def backward(prediction: Array, target: Array, each: Array | None = None, **kwargs: Any) -> Array:
    with device() as d:
        gradient = GradLoss(0 if each is None else d.put(each), kwargs.get("grad_loss", 1.0))
        dx = d.empty(prediction.size)
        arguments = REDUCTIONS.index(kwargs.get("reduction", "mean")), gradient, dx
        call(
            "squared_error_backward",
            *(d.put(prediction), d.put(target), prediction.size, *arguments),
        )
        return d.get(dx, prediction.shape)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_every_length(reduction: str, rng: np.random.Generator) -> None:
    kwargs = {"reduction": reduction}
    lengths = (1, 2, 31, 32, 33, 255, 256, 257, 1000, 4096, 4097)
    for length, integers in product(lengths, (True, False)):
        fill = Fill(rng, integers)
        prediction, target = fill(length), fill(length)
        exact = check_exact if integers and reduction != "mean" else check
        expected = Call("squared_error", (prediction, target), kwargs)
        exact(expected, (error(prediction, target, reduction),))
        weights = (fill(length),) if reduction == "none" else ()
        expected = Call("squared_error_backward", (prediction, target, *weights), kwargs)
        check(expected, (backward(prediction, target, *weights, **kwargs),))


def test_the_sum_is_rounded_once(rng: np.random.Generator) -> None:
    """Three blocks add in double precision."""
    prediction, target = Fill(rng)(10_000), Fill(rng)(10_000)
    squares = ((prediction - target) ** 2).astype(np.float64)
    assert error(prediction, target, "sum") == F32(squares.sum())
    assert error(prediction, target) == F32(squares.mean())


def test_a_sum_beyond_float32() -> None:
    """In float32, adding 1 to 2^24 gives 2^24."""
    x = np.ones(4097, F32)
    x[0] = 4096
    assert error(x, np.zeros_like(x), "sum") == 2**24 + 4096


def test_gradient_of_the_loss() -> None:
    x = F32([1, -2, 4])
    np.testing.assert_array_equal(backward(x, np.zeros(3, F32), grad_loss=0.5, reduction="sum"), x)
    np.testing.assert_array_equal(backward(x, np.zeros(3, F32), reduction="none"), 2 * x)


def test_no_values() -> None:
    empty = np.zeros(0, F32)
    assert np.isnan(error(empty, empty))
    assert error(empty, empty, "sum") == 0
    assert error(empty, empty, "none").size == 0
    backward(empty, empty)


def test_nan_and_infinities() -> None:
    x, zero = F32([1, np.nan, np.inf, -np.inf]), np.zeros(4, F32)
    errors = error(x, zero, "none")
    np.testing.assert_array_equal(errors, F32([1, np.nan, np.inf, np.inf]))
    assert np.isnan(error(x, zero))
    gradient = backward(x, zero, reduction="sum")
    np.testing.assert_array_equal(gradient, F32([2, np.nan, np.inf, -np.inf]))
