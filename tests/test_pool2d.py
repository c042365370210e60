"""Pooling and its gradients for every shape of shapes/pool2d.toml; ties, NaN and bad indices."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import reference
from byhand import kernels
from calls import Array, Call, Fill
from devices import few_blocks, late_error
from guard import Fence
from ops import AVERAGE, POOL, WINDOW, check, check_exact, draw, pool_arguments
from tolerance import assert_same_bits

F32 = np.float32
# CUDA shares windows of more than 64 positions among the 32 threads of a warp.
LARGE: dict[str, dict[str, Any]] = {
    "global": {"x": (5, 3, 9, 11), "kernel_size": (9, 11)},
    "large": {"x": (2, 2, 14, 20), "kernel_size": (9, 8), "stride": (2, 3), "padding": (4, 3)},
    "wide": {"x": (2, 2, 2, 140), "kernel_size": (2, 35), "stride": (1, 3), "ceil_mode": True},
    "tall": {"x": (1, 2, 150, 3), "kernel_size": (70, 1), "stride": (9, 2), "padding": (30, 0)},
    # Strides of 2^29 and more need numbers of 64 bits.
    "long-stride": {"x": (2, 2, 5, 7), "kernel_size": (3, 2), "stride": (2**31, 3), "padding": 1},
    "large-long-stride": {"x": (1, 2, 9, 12), "kernel_size": (9, 9), "stride": (1, 2**29)},
}
SHAPES = {**POOL, **LARGE}
every_shape = pytest.mark.parametrize("name", SHAPES)
AVERAGES = [n for n, shape in SHAPES.items() if "dilation" not in shape]
OPS_OF = ("max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward")


def inner(a: Array, b: Array) -> int:
    return int(np.sum(a.astype(np.int64) * b.astype(np.int64)))


@every_shape
def test_max_pool(name: str, device: str, threads: int, rng: np.random.Generator) -> None:
    """Integers with many ties: values, indices and gradients are exact, and adjoint."""
    call = draw("max_pool2d", Fill(rng, integers=True), SHAPES[name])
    y, indices = call.kernel()
    check(call, (y, indices))
    dy = Fill(rng, integers=True)(*y.shape)
    x = call.args[0]
    backward = Call("max_pool2d_backward", (dy, indices, x.shape), {})
    check_exact(backward, backward.kernel())
    assert inner(dy[indices >= 0], y[indices >= 0]) == inner(x, backward.kernel()[0])


@pytest.mark.parametrize("name", AVERAGES)
def test_avg_pool(name: str, device: str, threads: int, rng: np.random.Generator) -> None:
    flags = (True, False)
    for op in ("avg_pool2d", "avg_pool2d_backward"):
        for integers, count_include_pad in product(flags, flags):
            shape = {**SHAPES[name], "count_include_pad": count_include_pad}
            call = draw(op, Fill(rng, integers), shape)
            check(call, call.kernel())


@pytest.mark.parametrize("name", ["lenet-pool1", "odd-input", "width-17", "gaps"])
def test_averages_of_2x2_are_exact_and_adjoint(
    name: str, device: str, rng: np.random.Generator
) -> None:
    fill = Fill(rng, integers=True)
    forward = draw("avg_pool2d", fill, SHAPES[name])
    backward = draw("avg_pool2d_backward", fill, SHAPES[name])
    y, dx = forward.kernel()[0], backward.kernel()[0]
    check_exact(forward, (y,))
    check_exact(backward, (dx,))
    assert inner(4 * y, backward.args[0]) == inner(forward.args[0], 4 * dx)


@every_shape
def test_not_one_byte_outside(name: str, isa: str, rng: np.random.Generator) -> None:
    for op, side in product(OPS_OF, ("start", "end")):
        if op.startswith("max") or name in AVERAGES:
            call = draw(op, Fill(rng), SHAPES[name])
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


@pytest.mark.parametrize("stride", [1, 2, 3, 7])
@pytest.mark.parametrize("window", [(17, 1), (1, 6), (2, 13), (16, 17)])
def test_nan_and_ties_in_large_windows(
    window: tuple[int, int], stride: int, isa: str, rng: np.random.Generator
) -> None:
    values = np.array([np.nan, 1, 1, -0.0, 0, -np.inf, np.inf, -2], F32)
    for some, dilation in product((values, values[1:], values[3:6]), (1, 2)):
        for width in (1, 5, 20):
            high, wide = (dilation * (size - 1) + 1 for size in window)
            x = rng.choice(some, (2, 2, high + 3, wide + width))
            call = Call("max_pool2d", (x, window), {"stride": stride, "dilation": dilation})
            check(call, call.kernel())


@pytest.mark.parametrize("width", [1, 31, 32, 33, 255, 256, 257, 513])
def test_outputs_around_the_sizes_of_warps_and_blocks(
    width: int, device: str, rng: np.random.Generator
) -> None:
    for stride, op in product((1, 2), OPS_OF):
        shape = {"x": (1, 1, 2, (width - 1) * stride + 2), "kernel_size": 2, "stride": stride}
        call = draw(op, Fill(rng, integers=True), shape)
        check(call, call.kernel())


@pytest.mark.parametrize("window", [3, (13, 5)])
def test_nan_ties_and_infinities(
    window: reference.Pair, device: str, rng: np.random.Generator
) -> None:
    """On CUDA, a thread and a warp choose the same of several NaN or equal values."""
    values = F32([np.nan, 1, 1, -0.0, 0, -np.inf, np.inf, -2])
    for some in (values, values[1:], values[3:6], values[5:6], values[:1]):
        for _ in range(4):
            x = rng.choice(some, (2, 1, 15, 9))
            call = Call("max_pool2d", (x, window), {"stride": 2, "padding": 2})
            check(call, call.kernel())


def test_nan_and_infinities(device: str) -> None:
    nan, inf = np.nan, np.inf
    x = np.array([[2, 2, nan, 1], [2, 2, 7, nan], [-inf, -inf, -0.0, 0], [-inf, -inf, inf, 0]], F32)
    y, indices = kernels.max_pool2d(x[None, None], 2)
    np.testing.assert_array_equal(y[0, 0], F32([[2, nan], [-inf, inf]]))
    np.testing.assert_array_equal(indices[0, 0], [[0, 7], [8, 14]])
    average = kernels.avg_pool2d(x[None, None], 2)
    np.testing.assert_array_equal(average[0, 0], F32([[2, nan], [-inf, inf]]))


@pytest.mark.parametrize("value", [1 / 3, 7.7, 1e30])
def test_the_mean_of_equal_values(value: float, device: str) -> None:
    """Small and large windows. test_the_mean_of_many_equal_values has larger ones."""
    x = np.full((1, 2, 100, 103), value, F32)
    for window, stride in (((100, 103), 1), ((1, 103), (30, 1)), ((5, 4), 31), (60, 37)):
        y = kernels.avg_pool2d(x, window, stride=stride)
        np.testing.assert_allclose(y, F32(value), rtol=2**-23)


def test_a_large_window_may_miss_every_input(device: str) -> None:
    """The two columns of the window are to the left and to the right of the only column of x."""
    x = np.ones((2, 1, 40, 1), F32)
    y, indices = kernels.max_pool2d(x, (40, 2), padding=2, dilation=(1, 3))
    np.testing.assert_array_equal(y, np.full((2, 1, 1, 1), -np.inf))
    np.testing.assert_array_equal(indices, np.full((2, 1, 1, 1), -1))


@pytest.mark.parametrize("size", [2, 9])
def test_the_maximum_of_neighbouring_numbers(size: int, device: str) -> None:
    """The last of the numbers is the next larger one. A thread or a warp compares them."""
    x = np.ones((1, 1, size, size), F32)
    x[0, 0, -1, -1] = np.nextafter(F32(1), F32(2))
    y, indices = kernels.max_pool2d(x, size)
    assert (y.item(), indices.item()) == (x.max(), size * size - 1)


def test_minus_infinity_is_an_input(device: str) -> None:
    """The large window contains only four inputs, so most lanes of a warp have none."""
    y, indices = kernels.max_pool2d(np.full((1, 1, 2, 2), -np.inf, F32), 9, padding=4)
    assert (y.item(), indices.item()) == (-np.inf, 0)


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


def test_the_mean_of_large_values_is_finite(device: str) -> None:
    """In float32, a sum of two of these values would be infinite."""
    x = np.full((2, 3, 28, 28), 3e38, F32)
    np.testing.assert_allclose(kernels.avg_pool2d(x, 28), F32(3e38), rtol=2**-23)
    for window in (5, 7, 16, 17):
        y = kernels.avg_pool2d(x, window, stride=3)
        np.testing.assert_allclose(y, F32(3e38), rtol=2**-22)
    x[1, 2, 27, 27] = np.inf
    assert np.isinf(kernels.avg_pool2d(x, 28)[1, 2])
    assert np.isinf(kernels.avg_pool2d(x, 7)[1, 2, 3, 3])


@pytest.mark.parametrize("size", [1, 31, 1023, 1024, 1025, 2048, 8193])
def test_gradients_that_meet_are_added_in_the_order_of_the_outputs(
    size: int, device: str, rng: np.random.Generator
) -> None:
    """The result is, bit for bit, that of a loop over the outputs.

    The indices come in any order. Some pixels get many gradients and some get none. On CUDA, planes
    have one tile of 1024 pixels or several.
    """
    for outputs, pixels in ((1, size), (33, 3), (300, size)):
        some = rng.choice(size, pixels)
        index = rng.choice(np.append(some, -1), (2, 1, outputs, 1)).astype(np.int32)
        dy = rng.standard_normal(index.shape, F32)
        expected = np.zeros((2, 1, size, 1), F32)
        for p, o in np.ndindex(2, outputs):
            if index[p, 0, o, 0] >= 0:
                expected[p, 0, index[p, 0, o, 0]] += dy[p, 0, o]
        assert_same_bits(kernels.max_pool2d_backward(dy, index, expected.shape), expected)


def test_a_plane_without_inputs(device: str, rng: np.random.Generator) -> None:
    """No window has any input, and the only valid index is -1."""
    index = np.full((1, 2, 3, 3), -1, np.int32)
    dx = kernels.max_pool2d_backward(np.ones(index.shape, F32), index, (1, 2, 0, 2))
    assert dx.shape == (1, 2, 0, 2)
    for op in ("max_pool2d", "avg_pool2d"):
        window = {"stride": 1, "padding": ((1, 3), (1, 1))}
        call = Call(op, (np.ones((1, 2, 0, 2), F32), 2), window)
        check(call, call.kernel())


@pytest.mark.parametrize("name", ["lenet-pool2", "overlap", "global", "large"])
def test_more_work_than_blocks_on_cuda(name: str, cuda: str, rng: np.random.Generator) -> None:
    for op in OPS_OF:
        call = draw(op, Fill(rng), SHAPES[name])
        whole = call.kernel()
        with few_blocks(2):
            for one, other in zip(call.kernel(), whole, strict=True):
                assert_same_bits(one, other)


@pytest.mark.parametrize("value", [-2, 24, 2**31 - 1, -(2**31)])
def test_indices_out_of_the_plane_on_cuda(value: int, cuda: str) -> None:
    """A bad index is reported late and skipped, and all others have their effect."""
    dy, indices = np.ones((2, 3, 2, 2), F32), np.zeros((2, 3, 2, 2), np.int32)
    indices[1, 2, 1, 1] = value
    message, dx = late_error("max_pool2d_backward", dy, indices, (2, 3, 4, 6))
    assert "max_pool2d_backward got an index that is neither -1 nor inside the plane" in message
    expected = np.zeros((2, 3, 4, 6))
    expected[:, :, 0, 0] = [[4, 4, 4], [4, 4, 3]]
    np.testing.assert_array_equal(dx, expected)


def test_an_index_into_a_plane_without_inputs_on_cuda(cuda: str) -> None:
    index = np.zeros((1, 2, 3, 3), np.int32)
    message, _ = late_error("max_pool2d_backward", np.ones(index.shape, F32), index, (1, 2, 0, 2))
    assert "neither -1 nor inside the plane" in message


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
