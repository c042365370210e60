"""Pooling and its gradients for every shape of shapes/pool2d.toml; ties, NaN and bad indices."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from byhand import kernels
from calls import Array, Call, Fill
from guard import Fence
from ops import AVERAGE, POOL, WINDOW, check, check_exact, draw, pool_arguments
from tolerance import assert_same_bits

F32 = np.float32
every_shape = pytest.mark.parametrize("name", POOL)
AVERAGES = [n for n, shape in POOL.items() if "dilation" not in shape]
OPS_OF = ("max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward")


def inner(a: Array, b: Array) -> int:
    return int(np.sum(a.astype(np.int64) * b.astype(np.int64)))


@every_shape
def test_max_pool(name: str, isa: str, threads: int, rng: np.random.Generator) -> None:
    """Integers with many ties: values, indices and gradients are exact, and adjoint."""
    call = draw("max_pool2d", Fill(rng, integers=True), POOL[name])
    y, indices = call.kernel()
    check(call, (y, indices))
    dy = Fill(rng, integers=True)(*y.shape)
    x = call.args[0]
    backward = Call("max_pool2d_backward", (dy, indices, x.shape), {})
    check_exact(backward, backward.kernel())
    assert inner(dy[indices >= 0], y[indices >= 0]) == inner(x, backward.kernel()[0])


@pytest.mark.parametrize("name", AVERAGES)
def test_avg_pool(name: str, isa: str, threads: int, rng: np.random.Generator) -> None:
    flags = (True, False)
    for op in ("avg_pool2d", "avg_pool2d_backward"):
        for integers, count_include_pad in product(flags, flags):
            shape = {**POOL[name], "count_include_pad": count_include_pad}
            call = draw(op, Fill(rng, integers), shape)
            check(call, call.kernel())


@pytest.mark.parametrize("name", ["lenet-pool1", "odd-input", "width-17", "gaps"])
def test_averages_of_2x2_are_exact_and_adjoint(
    name: str, isa: str, rng: np.random.Generator
) -> None:
    fill = Fill(rng, integers=True)
    forward = draw("avg_pool2d", fill, POOL[name])
    backward = draw("avg_pool2d_backward", fill, POOL[name])
    y, dx = forward.kernel()[0], backward.kernel()[0]
    check_exact(forward, (y,))
    check_exact(backward, (dx,))
    assert inner(4 * y, backward.args[0]) == inner(forward.args[0], 4 * dx)


@every_shape
def test_not_one_byte_outside(name: str, isa: str, rng: np.random.Generator) -> None:
    for op, side in product(OPS_OF, ("start", "end")):
        if op.startswith("max") or name in AVERAGES:
            call = draw(op, Fill(rng), POOL[name])
            fence = Fence(side)
            for got, expected in zip(call.run(fence, give_out=True), call.kernel(), strict=True):
                assert_same_bits(got, expected, repr(call))
            assert fence.untouched(), call


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_every_width(stride: int, isa: str, rng: np.random.Generator) -> None:
    """NaN, ties, -0 and infinities mean the same in the vectors and in the tail of a row."""
    values = np.array([np.nan, 1, 1, -0.0, 0, -np.inf, np.inf, -2], F32)
    for width in (*range(1, 20), 31, 32, 33):
        shape = {"x": (3, 2, 5, width + 2), "kernel_size": 3, "stride": stride}
        for op in OPS_OF:
            call = draw(op, Fill(rng, integers=True), shape)
            check(call, call.kernel())
        for _ in range(8):
            call = Call("max_pool2d", (rng.choice(values, shape["x"]), 3), {"stride": stride})
            check(call, call.kernel())


def test_nan_and_infinities(isa: str) -> None:
    nan, inf = np.nan, np.inf
    x = np.array([[2, 2, nan, 1], [2, 2, 7, nan], [-inf, -inf, -0.0, 0], [-inf, -inf, inf, 0]], F32)
    y, indices = kernels.max_pool2d(x[None, None], 2)
    np.testing.assert_array_equal(y[0, 0], F32([[2, nan], [-inf, inf]]))
    np.testing.assert_array_equal(indices[0, 0], [[0, 7], [8, 14]])
    average = kernels.avg_pool2d(x[None, None], 2)
    np.testing.assert_array_equal(average[0, 0], F32([[2, nan], [-inf, inf]]))


@pytest.mark.parametrize("value", [1 / 3, 0.1, 7.7, 1e-30, 1e30])
def test_the_mean_of_many_equal_values(value: float, isa: str) -> None:
    """In float32, a simple sum of 224 x 224 values would lose four digits."""
    x = np.full((2, 3, 225, 227), value, F32)
    whole = np.ascontiguousarray(x[:, :, :224, :224])
    for y in (
        kernels.avg_pool2d(whole, 224),
        kernels.avg_pool2d(whole, 224, padding=3, stride=1, count_include_pad=False),
        kernels.avg_pool2d(x, 224, stride=1),
        kernels.avg_pool2d(x, (1, 227)),
        kernels.avg_pool2d(x, (5, 4), stride=(5, 3)),
    ):
        np.testing.assert_allclose(y, F32(value), rtol=2**-23)


def test_the_mean_of_large_values_is_finite(isa: str) -> None:
    """In float32, a sum of eight of these values would be infinite."""
    x = np.full((2, 3, 28, 28), 3e38, F32)
    np.testing.assert_allclose(kernels.avg_pool2d(x, 28), F32(3e38), rtol=2**-23)
    x[1, 2, 27, 27] = np.inf
    assert np.isinf(kernels.avg_pool2d(x, 28)[1, 2])


@pytest.mark.parametrize("index", [-2, 24, 2**31 - 1, -(2**31)])
def test_indices_out_of_the_plane(index: int) -> None:
    dy, indices = np.ones((2, 3, 2, 2), F32), np.zeros((2, 3, 2, 2), np.int32)
    indices[1, 2, 1, 1] = index
    out = np.full((2, 3, 4, 6), -7, F32)
    with pytest.raises(ValueError, match=rf"indices.*{index}"):
        kernels.max_pool2d_backward(dy, indices, (2, 3, 4, 6), out=out)
    assert np.all(out == -7)


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint32, np.float32])
def test_indices_are_what_max_pool_returns(dtype: type) -> None:
    """Indices of other integer types are read or refused by name. Floats are refused."""
    dy, indices = np.ones((1, 1, 1, 1), F32), np.full((1, 1, 1, 1), 3, dtype)
    if dtype is np.float32:
        with pytest.raises(TypeError, match="indices"):
            kernels.max_pool2d_backward(dy, indices, (1, 1, 2, 2))
        return
    try:
        dx = kernels.max_pool2d_backward(dy, indices, (1, 1, 2, 2))
    except TypeError as error:
        assert "indices" in str(error)
    else:
        np.testing.assert_array_equal(dx.ravel(), [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("argument", "value", "shown"),
    [
        ("kernel_size", 0, "0"),
        ("kernel_size", (2, -1), "-1"),
        ("kernel_size", 9, "9"),
        ("stride", 0, "0"),
        ("stride", (-1, 1), "-1"),
        ("padding", -1, "-1"),
        ("dilation", 0, "0"),
        ("dilation", 7, "7"),
    ],
)
def test_bad_geometry(argument: str, value: Any, shown: str) -> None:
    x = np.ones((1, 2, 6, 6), F32)
    window = {"kernel_size": 2, argument: value}
    kernel_size = window.pop("kernel_size")
    for name, allowed in (("max_pool2d", WINDOW), ("avg_pool2d", AVERAGE)):
        if argument == "kernel_size" or argument in allowed:
            with pytest.raises(ValueError, match=rf"\b(kernel|{argument})\b.*{shown}"):
                getattr(kernels, name)(x, kernel_size, **pool_arguments(window, allowed))
