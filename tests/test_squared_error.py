"""Squared error and its gradient."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from byhand import kernels
from calls import Call, Fill
from devices import SCHEDULES
from ops import check, check_exact

F32 = np.float32


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_every_length(reduction: str, device: str, rng: np.random.Generator) -> None:
    small = (1, 2, 31, 255, 256, 257) if device in SCHEDULES else range(1, 20)
    kwargs = {"reduction": reduction}
    for length, integers in product((*small, 32, 33, 1000), (True, False)):
        fill = Fill(rng, integers)
        prediction, target = fill(length), fill(length)
        weights = (fill(length),) if reduction == "none" else ()
        for call in (
            Call("squared_error", (prediction, target), kwargs),
            Call("squared_error_backward", (prediction, target, *weights), kwargs),
        ):
            exact = integers and reduction != "mean" and call.op == "squared_error"
            (check_exact if exact else check)(call, call.kernel())


def test_a_mean_of_many_values(isa: str) -> None:
    """In float32, a sum in one chain would stop growing at 2^24."""
    x = np.zeros(2**24 + 2**22, F32)
    assert kernels.squared_error(x, np.ones_like(x)) == 1


def test_the_sum_is_rounded_once(device: str, rng: np.random.Generator) -> None:
    """The sum is of double precision. On CUDA, three blocks compute it."""
    prediction, target = Fill(rng)(10_000), Fill(rng)(10_000)
    squares = ((prediction - target) ** 2).astype(np.float64)
    assert kernels.squared_error(prediction, target, reduction="sum") == F32(squares.sum())
    assert kernels.squared_error(prediction, target) == F32(squares.mean())


@pytest.mark.parametrize("length", [4096, 4097])
def test_a_sum_beyond_float32(length: int, device: str) -> None:
    """In float32, adding 1 to 2^24 gives 2^24. On CUDA, 4096 values are the work of one block."""
    x = np.ones(length, F32)
    x[0] = 4096
    assert kernels.squared_error(x, np.zeros_like(x), reduction="sum") == F32(2**24 + length - 1)


def test_gradient_of_the_loss(device: str) -> None:
    x, zero = F32([1, -2, 4]), np.zeros(3, F32)
    gradient = kernels.squared_error_backward(x, zero, 0.5, reduction="sum")
    np.testing.assert_array_equal(gradient, x)
    gradient = kernels.squared_error_backward(x, zero, reduction="none")
    np.testing.assert_array_equal(gradient, 2 * x)


def test_no_values(device: str) -> None:
    empty = np.zeros(0, F32)
    assert np.isnan(kernels.squared_error(empty, empty))
    assert kernels.squared_error(empty, empty, reduction="sum") == 0
    assert kernels.squared_error(empty, empty, reduction="none").size == 0
    for reduction in ("mean", "sum", "none"):
        assert kernels.squared_error_backward(empty, empty, reduction=reduction).size == 0


def test_nan_and_infinities(device: str) -> None:
    x, zero = F32([1, np.nan, np.inf, -np.inf]), np.zeros(4, F32)
    errors = kernels.squared_error(x, zero, reduction="none")
    np.testing.assert_array_equal(errors, F32([1, np.nan, np.inf, np.inf]))
    assert np.isnan(kernels.squared_error(x, zero))
    gradient = kernels.squared_error_backward(x, zero, reduction="sum")
    np.testing.assert_array_equal(gradient, F32([2, np.nan, np.inf, -np.inf]))


def test_bad_arguments() -> None:
    a, b = np.zeros((3, 4), F32), np.zeros((4, 3), F32)
    with pytest.raises(ValueError, match=r"target.*\(3, 4\).*\(4, 3\)"):
        kernels.squared_error(a, b)
    with pytest.raises(ValueError, match=r"reduction.*median"):
        kernels.squared_error(a, a, reduction="median")
    with pytest.raises((ValueError, TypeError), match="grad_loss"):
        kernels.squared_error_backward(a, a, np.ones((4, 3), F32), reduction="none")
