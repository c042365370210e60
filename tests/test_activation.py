"""Activations: their error in units of the last place, special values, every length."""

from __future__ import annotations

import bounds
import numpy as np
import pytest
import reference
from byhand import kernels
from calls import Call, Fill, every_exponent
from devices import SCHEDULES, few_blocks
from ops import check
from tolerance import assert_same_bits, ulp_distance

F32 = np.float32


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_ulp_at_every_exponent(name: str, device: str, rng: np.random.Generator) -> None:
    per_exponent = 64 if device in SCHEDULES else 2048
    limit = {"tanh": bounds.TANH_ULP, "sigmoid": bounds.SIGMOID_ULP}[name]
    for x in (
        every_exponent(rng, per_exponent),
        rng.uniform(-20, 20, 512 * per_exponent).astype(F32),
    ):
        distance = ulp_distance(getattr(kernels, name)(x), getattr(reference, name)(x))
        worst = np.argmax(distance)
        assert distance[worst] <= limit, f"{name}({x[worst]!r}) is off by {distance[worst]:.3f} ulp"


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_never_beyond_the_limits(name: str, device: str, rng: np.random.Generator) -> None:
    """tanh stays in [-1, 1] and sigmoid in [0, 1], so 1 - y is never negative. tanh is odd."""
    x = rng.uniform(-120, 120, 2**12 if device in SCHEDULES else 2**18).astype(F32)
    y = getattr(kernels, name)(x)
    assert y.max() == 1
    assert y.min() == (-1 if name == "tanh" else 0)
    if name == "tanh":
        assert_same_bits(kernels.tanh(-x), -y)


def test_special_values(device: str) -> None:
    """Special values give the same results in every lane of a vector and in the tail."""
    tiny = 2.0**-149
    x = F32([0.0, -0.0, np.inf, -np.inf, np.nan, tiny, -tiny])
    expected = {
        "relu": F32([0, 0, np.inf, 0, np.nan, tiny, 0]),
        "tanh": F32([0, -0.0, 1, -1, np.nan, tiny, -tiny]),
        "sigmoid": F32([0.5, 0.5, 1, 0, np.nan, 0.5, 0.5]),
    }
    for name, y in expected.items():
        for shift in range(7):
            many = np.tile(x, 11)[shift:]
            got, want = getattr(kernels, name)(many), np.tile(y, 11)[shift:]
            np.testing.assert_array_equal(got, want)
            if name == "tanh":
                zero = want == 0
                np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(many[zero]))


def test_relu_backward_where_output_is_nan(device: str) -> None:
    dy, y = F32([1, 2, np.nan, np.inf, 5]), F32([np.nan, 0, -0.0, 0, 2.0**-149])
    for n in range(1, 20):
        got = kernels.relu_backward(np.tile(dy, n), np.tile(y, n))
        np.testing.assert_array_equal(got, np.tile(F32([1, 0, 0, 0, 5]), n))


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_backward_near_saturation(name: str, device: str, rng: np.random.Generator) -> None:
    """If y is near 1, 1 - y keeps its relative accuracy. If y is 1, the gradient is 0."""
    y = np.nextafter(F32(1), F32(0)) - rng.random(1000, F32) * F32(1e-5)
    dy = Fill(rng)(1000)
    got = getattr(kernels, f"{name}_backward")(dy, y)
    expected = getattr(reference, f"{name}_backward")(dy, y)
    assert ulp_distance(got, expected).max() <= 3
    assert not getattr(kernels, f"{name}_backward")(dy, np.ones_like(y)).any()


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_every_length(name: str, device: str, rng: np.random.Generator) -> None:
    for length in (*range(1, 35), 63, 64, 65, 256, 257, 1025):
        x = Fill(rng)(length)
        for call in (Call(name, (x,), {}), Call(f"{name}_backward", (x[::-1].copy(), x), {})):
            check(call, call.kernel())


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_place_does_not_matter(name: str, isa: str, rng: np.random.Generator) -> None:
    """Body and tail of a vector loop give the same bits."""
    x = Fill(rng)(64)
    y = getattr(kernels, name)(x)
    for length in range(1, 64):
        assert_same_bits(getattr(kernels, name)(x[:length]), y[:length], str(length))


def test_add(device: str, rng: np.random.Generator) -> None:
    for length in (*range(1, 35), 63, 64, 65, 256, 257, 1025):
        a, b = Fill(rng)(length), Fill(rng)(length)
        assert_same_bits(kernels.add(a, b), a + b, str(length))
    a, b = F32([np.inf, np.inf, np.nan, -0.0]), F32([-np.inf, 1, 2, -0.0])
    got = kernels.add(a, b)
    np.testing.assert_array_equal(got, F32([np.nan, np.inf, np.nan, 0]))
    assert np.signbit(got[3])


def test_a_block_takes_several_parts(cuda: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal(5 * 1024 + 300, F32)
    with few_blocks(2):
        np.testing.assert_array_equal(kernels.relu(x), np.maximum(x, 0))


def test_any_shape() -> None:
    for shape in ((), (1,), (0,), (2, 0, 3), (2, 1, 2, 1, 2)):
        assert kernels.relu(np.ones(shape, F32)).shape == shape
