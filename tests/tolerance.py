"""Tolerances for float32 results: equal, within the bound of a sum, or within some ULPs.

Every tolerance here is derived. Sums of small integers are exact in float32 in any order, so they
must be equal. A float32 sum of K products a * b differs from the exact sum by at most
c * sqrt(K) * eps * sum(|a| * |b|) with a probability that depends on c (Higham and Mary, "A new
approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41, 2019). These tests use
c = 2. If every rounding error were as large as possible, one result in several thousand would
exceed this bound. Real rounding errors are smaller. Errors of elementary functions are measured in
units of the last place (ULP) of the float32 result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

EPS = 2.0**-23
SMALLEST = 2.0**-149  # the smallest float32 above zero, and the spacing of numbers near zero
EXACT_BELOW = 2**24  # float32 holds every integer up to here


def accumulation(size: npt.ArrayLike, terms: float) -> Array:
    """Return the bound for a sum of `terms` products whose absolute values add up to `size`."""
    return 2 * np.sqrt(max(terms, 1)) * EPS * np.asarray(size, np.float64) + SMALLEST


def ulp(x: npt.ArrayLike) -> Array:
    """Return the spacing of float32 at x. For subnormal numbers it is 2^-149."""
    _, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(1.0, np.maximum(exponent - 24, -149))


def ulp_distance(got: Array, expected: npt.ArrayLike) -> Array:
    """Return |got - expected| in units of the last place: 0 for equal infinities or two NaN."""
    expected = np.asarray(expected, np.float64)
    alike = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        distance = np.abs(got.astype(np.float64) - expected) / ulp(expected)
    return np.where(alike, 0.0, np.nan_to_num(distance, nan=np.inf))


def _same_kind(got: Any, expected: Array, what: str) -> Array:
    counted = type(got) is int
    got = np.asarray(got)
    assert counted or got.dtype in (np.float32, np.int32), f"{what}: dtype {got.dtype}"
    assert got.shape == np.shape(expected), f"{what}: shape {got.shape}, not {np.shape(expected)}"
    return got


def _worst(excess: Array, got: Array, expected: Array, what: str) -> str:
    at = np.unravel_index(np.argmax(excess), excess.shape)
    place = tuple(int(i) for i in at)
    return (
        f"{what}: {np.count_nonzero(excess > 0)} of {got.size} wrong, worst at {place}: "
        f"got {got[at]!r}, expected {np.asarray(expected)[at]!r}"
    )


def assert_within(got: Any, expected: Array, bound: npt.ArrayLike, what: str = "") -> None:
    """Assert that each element is within its bound. NaN and infinities must be as expected."""
    got = _same_kind(got, expected, what)
    bound = np.broadcast_to(np.asarray(bound, np.float64), got.shape)
    alike = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        excess = np.nan_to_num(np.abs(got - np.asarray(expected, np.float64)) - bound, nan=np.inf)
    excess = np.where(alike, 0.0, excess)
    assert not np.any(excess > 0), _worst(excess, got, expected, what)


def assert_exact(got: Any, expected: Array, support: Array, what: str = "") -> None:
    """Assert that integers are equal.

    `support` is the same result for the absolute values of the inputs. It must be below 2^24, so
    that the sums are exact in any order. If less than 30 % of the values that could be non-zero are
    non-zero, the assertion fails, too, because such a test would prove little.
    """
    finite = support[np.isfinite(support)]  # a maximum over no value is -inf
    assert np.all(np.abs(finite) < EXACT_BELOW), f"{what}: the integers are too large to be exact"
    possible = np.count_nonzero(support)
    if possible >= 10:
        seen = np.count_nonzero(expected)
        assert seen >= 0.3 * possible, f"{what}: {seen} of {possible} non-zero prove little"
    assert_within(got, expected, 0.0, what)


def assert_same_bits(got: Any, expected: Any, what: str = "") -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype and got.shape == expected.shape, what
    assert got.tobytes() == expected.tobytes(), (
        f"{what}: {np.count_nonzero(got != expected)} of {got.size} differ"
    )
