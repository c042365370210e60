"""Dropout on an emulated GPU: the bits of the CPU, for every length and key."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from byhand import kernels
from calls import Array
from cuda_support import call, device
from tolerance import assert_same_bits

F32 = np.float32


class DropoutKey(ctypes.Structure):
    """ops::DropoutKey."""

    _fields_ = (("seed", ctypes.c_uint64), ("step", ctypes.c_uint32), ("stream", ctypes.c_uint32))


def dropout(x: Array, rate: float, seed: int = 0, step: int = 0, stream: int = 0) -> Array:
    with device() as d:
        y = d.empty(x.size)
        call("dropout", DropoutKey(seed, step, stream), rate, d.put(x), x.size, y)
        return d.get(y, x.shape)


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 63, 64, 65, 81, 200, 1023, 1024, 1025, 2100])
def test_every_length(n: int) -> None:
    """Whole and partial groups of 64 values, in one and several blocks of threads."""
    x = np.random.default_rng(0).standard_normal(n, F32)
    key = {"seed": 9, "step": 8, "stream": 7}
    assert_same_bits(dropout(x, 0.5, **key), kernels.dropout(x, 0.5, **key))


@pytest.mark.parametrize(
    "key",
    [
        {"seed": 2**64 - 1, "step": 2**32 - 1, "stream": 2**32 - 1},
        {"seed": 2**40 + 1, "step": 3, "stream": 2},
        {"step": 1},
        {"stream": 1},
    ],
    ids=repr,
)
@pytest.mark.parametrize("rate", [0.01, 0.3, 0.75])
def test_keys_and_rates(rate: float, key: dict[str, int]) -> None:
    x = np.random.default_rng(1).standard_normal((3, 129)).astype(F32)
    expected = kernels.dropout(x, rate, **{"seed": 0, "step": 0, **key})
    assert_same_bits(dropout(x, rate, **key), expected)


def test_the_ends() -> None:
    x = F32([1, -2, np.nan, np.inf, -np.inf] * 30)
    np.testing.assert_array_equal(dropout(x, 0.0, seed=1, step=1), x)
    np.testing.assert_array_equal(dropout(x, 1.0, seed=1, step=1), np.zeros_like(x))


def test_special_values_that_are_dropped_become_zero() -> None:
    x = F32([np.nan, np.inf, -np.inf, -0.0, 2.0**-149] * 30)
    expected = kernels.dropout(x, 0.5, seed=1, step=1)
    assert_same_bits(dropout(x, 0.5, seed=1, step=1), expected)
    assert (expected == 0).sum() > 60
