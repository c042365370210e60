"""Dropout: which values are dropped, how many, and what this depends on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from byhand import _core, kernels
from byhand._core import testing
from devices import SCHEDULES
from tolerance import assert_same_bits

F32 = np.float32
ONES = np.ones(100_000, F32)


def kept(rate: float = 0.5, seed: int = 0, step: int = 0, stream: int = 0) -> Any:
    return kernels.dropout(ONES, rate, seed=seed, step=step, stream=stream) != 0


def test_every_length(device: str) -> None:
    """Every length, with whole and partial groups of 64 values.

    Whether a value is dropped depends on its position, not on the length.
    """
    rng = np.random.default_rng(0)
    x = rng.standard_normal(2100, F32)
    whole = reference.dropout(x, 0.5, seed=9, step=8, stream=7)
    lengths = (1, 15, 16, 17, 63, 64, 65, 81) if device in SCHEDULES else range(201)
    for n in (*lengths, 1023, 1024, 1025, 2100):
        for function in (kernels.dropout, kernels.dropout_backward):
            got = function(x[:n], 0.5, seed=9, step=8, stream=7)
            np.testing.assert_array_equal(got, whole[:n])


def test_a_value_is_kept_if_its_random_number_is_the_rate(device: str) -> None:
    """A value is dropped if its random number, a multiple of 2**-23, is below the rate."""
    x = np.ones(16, F32)
    for i, number in enumerate(reference.uniform(16, 5, 4, 3)):
        for rate, is_kept in ((number, True), (number + 2.0**-23, False)):
            y = kernels.dropout(x, float(rate), seed=5, step=4, stream=3)
            assert (y[i] != 0) == is_kept


def test_every_instruction_set_drops_the_same() -> None:
    x = np.random.default_rng(1).standard_normal((37, 129)).astype(F32)
    before, results = testing.isa(), set()
    try:
        for isa in testing.isas():
            testing.set_isa(isa)
            results.add(kernels.dropout(x, 0.3, seed=2**40 + 1, step=3, stream=2).tobytes())
    finally:
        testing.set_isa(before)
    assert len(results) == 1


@pytest.mark.parametrize(
    "key",
    [
        {"seed": 2**64 - 1, "step": 2**32 - 1, "stream": 2**32 - 1},
        {"seed": 2**40 + 1, "step": 3, "stream": 2},
        {"seed": 0, "step": 1},
        {"seed": 0, "step": 0, "stream": 1},
    ],
    ids=repr,
)
def test_cuda_drops_the_same_as_the_cpu(key: dict[str, int], cuda: str) -> None:
    x = np.random.default_rng(1).standard_normal((3, 129)).astype(F32)
    x.ravel()[:5] = np.nan, np.inf, -np.inf, -0.0, 2.0**-149
    for rate in (0.0, 0.01, 0.3, 0.5, 0.75, 1.0):
        on_the_cpu = _core.dropout(x, rate, **key)
        assert_same_bits(kernels.dropout(x, rate, **key), on_the_cpu, str(rate))


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_as_many_as_the_rate_says(rate: float) -> None:
    """The share of dropped values is within five standard deviations for every key."""
    deviation = np.sqrt(rate * (1 - rate) / ONES.size)
    for key in range(20):
        for name in ("seed", "step", "stream"):
            dropped = 1 - kept(rate, **{name: key}).mean()
            assert abs(dropped - rate) < 5 * deviation, (name, key)


def test_masks_are_independent() -> None:
    """With another seed, step, stream or position, half of the values agree.

    The tolerance is five standard deviations.
    """
    masks = [
        kept(seed=0),
        kept(seed=1),
        kept(seed=2**32),
        kept(step=1),
        kept(stream=1),
        np.roll(kept(), 1),
        np.roll(kept(), 16),
        np.roll(kept(), 64),
    ]
    for i, a in enumerate(masks):
        for b in masks[i + 1 :]:
            assert abs((a == b).mean() - 0.5) < 5 * 0.5 / np.sqrt(ONES.size)


def test_the_mean_stays() -> None:
    y = kernels.dropout(ONES, 0.75, seed=1, step=2)
    assert set(np.unique(y)) == {0.0, 4.0}
    assert abs(y.mean() - 1) < 5 * np.sqrt(3 / ONES.size)


def test_special_values_that_are_dropped_become_zero(device: str) -> None:
    x = F32([np.nan, np.inf, -np.inf, -0.0, 2.0**-149] * 30)
    y = kernels.dropout(x, 0.5, seed=1, step=1)
    is_kept = kernels.dropout(np.ones_like(x), 0.5, seed=1, step=1) != 0
    assert_same_bits(y, np.where(is_kept, 2 * x, F32(0)))
    assert 45 < is_kept.sum() < 105


def test_the_ends(device: str) -> None:
    x = F32([1, -2, np.nan, np.inf, -np.inf] * 30)
    np.testing.assert_array_equal(kernels.dropout(x, 0, seed=1, step=1), x)
    np.testing.assert_array_equal(kernels.dropout(x, 1, seed=1, step=1), np.zeros_like(x))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rate": -0.1}, "rate must be from 0 to 1, got -0.1"),
        ({"rate": 1.5}, "rate must be from 0 to 1, got 1.5"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": "half"}, "rate"),
        ({"seed": -1}, "seed must be from 0 to 18446744073709551615, got -1"),
        ({"seed": 2**64}, "seed must be from 0 to"),
        ({"seed": 0.5}, "seed must be an integer"),
        ({"step": 2**32}, "step must be from 0 to 4294967295, got 4294967296"),
        ({"stream": -1}, "stream"),
        ({"stream": None}, "stream"),
    ],
)
def test_bad_arguments(changes: dict[str, Any], says: str) -> None:
    kwargs: dict[str, Any] = {"rate": 0.5, "seed": 0, "step": 0, "stream": 0, **changes}
    for function in (kernels.dropout, kernels.dropout_backward):
        with pytest.raises((TypeError, ValueError), match=says):
            function(ONES, **kwargs)
