"""Activations and the sum of two arrays on an emulated GPU: errors, special values, lengths."""

from __future__ import annotations

import bounds
import numpy as np
import pytest
import reference
from calls import Array, Call, Fill, every_exponent
from cuda_support import call, device, most_blocks
from ops import check
from tolerance import assert_same_bits, ulp_distance

F32 = np.float32
LENGTHS = (0, 1, 31, 32, 33, 255, 256, 257, 1000)


def forward(name: str, x: Array) -> Array:
    with device() as d:
        y = d.empty(x.size)
        call(f"activation_{name}", d.put(x), x.size, y)
        return np.asarray(d.get(y, x.shape))


def pairwise(name: str, a: Array, b: Array) -> Array:
    """Call an operator with two inputs: the backward functions and `add`."""
    with device() as d:
        y = d.empty(a.size)
        call(name, d.put(a), d.put(b), a.size, y)
        return np.asarray(d.get(y, a.shape))


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_ulp_at_every_exponent(name: str, rng: np.random.Generator) -> None:
    limit = {"tanh": bounds.TANH_ULP, "sigmoid": bounds.SIGMOID_ULP}[name]
    for x in (every_exponent(rng, 64), rng.uniform(-120, 120, 2**15).astype(F32)):
        y = forward(name, x)
        distance = ulp_distance(y, getattr(reference, name)(x))
        worst = np.argmax(distance)
        assert distance[worst] <= limit, f"{name}({x[worst]!r}) is off by {distance[worst]:.3f} ulp"
        assert y.max() == 1 and y.min() == (-1 if name == "tanh" else 0)


def test_special_values() -> None:
    """Special values give the same results in every lane of a warp."""
    tiny = 2.0**-149
    x = F32([0.0, -0.0, np.inf, -np.inf, np.nan, tiny, -tiny])
    expected = {
        "relu": F32([0, 0, np.inf, 0, np.nan, tiny, 0]),
        "tanh": F32([0, -0.0, 1, -1, np.nan, tiny, -tiny]),
        "sigmoid": F32([0.5, 0.5, 1, 0, np.nan, 0.5, 0.5]),
    }
    for name, y in expected.items():
        got, want = forward(name, np.tile(x, 40)), np.tile(y, 40)
        np.testing.assert_array_equal(got, want)
        if name == "tanh":
            zero = want == 0
            np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))


def test_relu_backward_where_output_is_nan() -> None:
    dy, y = F32([1, 2, np.nan, np.inf, 5]), F32([np.nan, 0, -0.0, 0, 2.0**-149])
    got = pairwise("relu_backward", np.tile(dy, 60), np.tile(y, 60))
    np.testing.assert_array_equal(got, np.tile(F32([1, 0, 0, 0, 5]), 60))


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_backward_near_saturation(name: str, rng: np.random.Generator) -> None:
    """If y is near 1, 1 - y keeps its relative accuracy. If y is 1, the gradient is 0."""
    y = np.nextafter(F32(1), F32(0)) - rng.random(1000, F32) * F32(1e-5)
    dy = Fill(rng)(1000)
    got = pairwise(f"{name}_backward", dy, y)
    assert ulp_distance(got, getattr(reference, f"{name}_backward")(dy, y)).max() <= 3
    assert not pairwise(f"{name}_backward", dy, np.ones_like(y)).any()


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_every_length(name: str, rng: np.random.Generator) -> None:
    for length in LENGTHS:
        x, dy = Fill(rng)(length), Fill(rng)(length)
        check(Call(name, (x,), {}), (forward(name, x),))
        backward = f"{name}_backward"
        check(Call(backward, (dy, x), {}), (pairwise(backward, dy, x),))


def test_add(rng: np.random.Generator) -> None:
    for length in LENGTHS:
        a, b = Fill(rng)(length), Fill(rng)(length)
        np.testing.assert_array_equal(pairwise("add", a, b), a + b)
    a, b = F32([np.inf, np.inf, np.nan, -0.0]), F32([-np.inf, 1, 2, -0.0])
    got = pairwise("add", a, b)
    np.testing.assert_array_equal(got, F32([np.nan, np.inf, np.nan, 0]))
    assert np.signbit(got[3])


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_a_result_may_be_an_input(name: str, rng: np.random.Generator) -> None:
    x, dy = Fill(rng)(300), Fill(rng)(300)
    with device() as d:
        place = d.put(x)
        call(f"activation_{name}", place, 300, place)
        assert_same_bits(d.get(place, (300,)), forward(name, x))
        expected = pairwise(f"{name}_backward", dy, x)
        for i in (0, 1):
            arrays = [d.put(dy), d.put(x)]
            call(f"{name}_backward", *arrays, 300, arrays[i])
            assert_same_bits(d.get(arrays[i], (300,)), expected)
        place = d.put(x)
        call("add", place, d.put(dy), 300, place)
        assert_same_bits(d.get(place, (300,)), x + dy)


def test_a_thread_takes_several_values(rng: np.random.Generator) -> None:
    x = rng.standard_normal(5 * 256 + 30, F32)
    with most_blocks(2):
        np.testing.assert_array_equal(forward("relu", x), np.maximum(x, 0))
