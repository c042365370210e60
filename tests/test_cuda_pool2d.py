"""Pooling on an emulated GPU: every shape of shapes/pool2d.toml, ties, NaN, and bad indices."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import reference
from calls import Array, Call, Fill
from cuda_support import call, device, most_blocks
from ops import OPS, POOL, check, check_exact, draw
from tolerance import assert_same_bits

F32 = np.float32
AVERAGES = [n for n, shape in POOL.items() if "dilation" not in shape]
FORWARD = ("max_pool2d", "avg_pool2d")
# Windows of more than 64 positions have a warp each.
LARGE = {
    "global": {"x": (5, 3, 9, 11), "kernel_size": (9, 11)},
    "large": {"x": (2, 2, 14, 20), "kernel_size": (9, 8), "stride": (2, 3), "padding": (4, 3)},
    "wide": {"x": (2, 2, 2, 140), "kernel_size": (2, 35), "stride": (1, 3), "ceil_mode": True},
    "tall": {"x": (1, 2, 150, 3), "kernel_size": (70, 1), "stride": (9, 2), "padding": (30, 0)},
    # Strides of 2^29 and more need numbers of 64 bits.
    "long-stride": {"x": (2, 2, 5, 7), "kernel_size": (3, 2), "stride": (2**40, 3), "padding": 1},
    "large-long-stride": {"x": (1, 2, 9, 12), "kernel_size": (9, 9), "stride": (1, 2**29)},
}


class Pool2dShape(ctypes.Structure):
    """The structure of core/shapes.h."""

    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in (
            *("batch", "channels", "in_h", "in_w", "out_h", "out_w"),
            *(f"{name}_{axis}" for name in ("kernel", "stride", "dilation") for axis in "hw"),
            *("top", "bottom", "left", "right"),
        )
    )


def pool_shape(
    x: Sequence[int],
    kernel_size: reference.Pair,
    stride: reference.Pair | None = None,
    padding: reference.Padding = 0,
    dilation: reference.Pair = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Pool2dShape:
    stride = kernel_size if stride is None else stride
    win = reference.window(x[2:], kernel_size, stride, padding, dilation, ceil_mode)
    axes = (win.rows, win.columns)
    pairs = ([getattr(a, name) for a in axes] for name in ("kernel", "stride", "dilation"))
    sides = (side for axis in axes for side in (axis.before, axis.after))
    return Pool2dShape(*x, *win.out, *(n for pair in pairs for n in pair), *sides)


def max_pool2d_backward(dy: Array, index: Array, input_shape: Sequence[int]) -> tuple[Array, int]:
    """Return dx, and whether an index was bad."""
    planes = dy.shape[0] * dy.shape[1]
    size = input_shape[2] * input_shape[3]
    with device() as d:
        dx, bad = d.empty(planes * size), d.put(np.zeros(1, np.int32))
        outputs = dy.shape[2] * dy.shape[3]
        call("max_pool2d_backward", d.put(dy), d.put(index), planes, outputs, size, dx, bad)
        return d.get(dx, tuple(input_shape)), int(d.get(bad, (1,), np.int32)[0])


def run(c: Call) -> tuple[Array, ...]:
    """Run an operator on the GPU."""
    expected = c.expected()
    if c.op == "max_pool2d_backward":
        dx, bad = max_pool2d_backward(*c.args)
        assert not bad
        return (dx,)
    *_, kernel_size = c.args
    x_shape = c.args[1] if c.op.endswith("backward") else c.args[0].shape
    shape = pool_shape(x_shape, kernel_size, **c.kwargs)
    with device() as d:
        outs = [d.empty(e.size) for e in expected]
        include = () if c.op == "max_pool2d" else (c.kwargs.get("count_include_pad", True),)
        call(c.op, shape, *include, d.put(c.args[0]), *outs)
        kinds = (F32, np.int32)
        return tuple(d.get(o, e.shape, k) for o, e, k in zip(outs, expected, kinds, strict=False))


def inner(a: Array, b: Array) -> int:
    return int(np.sum(a.astype(np.int64) * b.astype(np.int64)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", [*POOL, *LARGE])
def test_max_pool(name: str, rng: np.random.Generator) -> None:
    """Integers with many ties: values, indices and gradients are exact, and adjoint."""
    forward = draw("max_pool2d", Fill(rng, integers=True), {**POOL, **LARGE}[name])
    y, index = run(forward)
    check(forward, (y, index))
    x = forward.args[0]
    dy = Fill(rng, integers=True)(*y.shape)
    backward = Call("max_pool2d_backward", (dy, index, x.shape), {})
    (dx,) = run(backward)
    check_exact(backward, (dx,))
    assert inner(dy[index >= 0], y[index >= 0]) == inner(x, dx)


@pytest.mark.parametrize("name", [*AVERAGES, *LARGE])
def test_avg_pool(name: str, rng: np.random.Generator) -> None:
    for op, include in product(("avg_pool2d", "avg_pool2d_backward"), (True, False)):
        shape = {**{**POOL, **LARGE}[name], "count_include_pad": include}
        c = draw(op, Fill(rng), shape)
        check(c, run(c))


@pytest.mark.parametrize("name", ["lenet-pool2", "odd-input", "width-17", "gaps"])
def test_averages_of_2x2_are_exact_and_adjoint(name: str, rng: np.random.Generator) -> None:
    fill = Fill(rng, integers=True)
    forward = draw("avg_pool2d", fill, POOL[name])
    backward = draw("avg_pool2d_backward", fill, POOL[name])
    (y,), (dx,) = run(forward), run(backward)
    check_exact(forward, (y,))
    check_exact(backward, (dx,))
    assert inner(4 * y, backward.args[0]) == inner(forward.args[0], 4 * dx)


@pytest.mark.parametrize("width", [1, 2, 31, 32, 33, 255, 256, 257, 511, 513])
def test_outputs_around_the_sizes_of_warps_and_blocks(width: int, rng: np.random.Generator) -> None:
    for stride in (1, 2):
        shape = {"x": (1, 1, 2, (width - 1) * stride + 2), "kernel_size": 2, "stride": stride}
        for op in ("max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward"):
            c = draw(op, Fill(rng, integers=True), shape)
            check(c, run(c))


@pytest.mark.parametrize("window", [3, (13, 5)])
def test_nan_ties_and_infinities(window: reference.Pair, rng: np.random.Generator) -> None:
    """A thread and a warp choose the same of several NaN or equal values."""
    values = F32([np.nan, 1, 1, -0.0, 0, -np.inf, np.inf, -2])
    for some in (values, values[1:], values[3:6], values[5:6], values[:1]):
        for _ in range(4):
            x = rng.choice(some, (2, 1, 15, 9))
            c = Call("max_pool2d", (x, window), {"stride": 2, "padding": 2})
            check(c, run(c))


def test_nan_and_infinities_of_averages() -> None:
    nan, inf = np.nan, np.inf
    x = np.array([[2, 2, nan, 1], [2, 2, 7, nan], [-inf, -inf, -0.0, 0], [-inf, -inf, inf, 0]], F32)
    (y,) = run(Call("avg_pool2d", (x[None, None], 2), {}))
    np.testing.assert_array_equal(y[0, 0], F32([[2, nan], [-inf, inf]]))


@pytest.mark.parametrize("value", [1 / 3, 7.7, 1e30])
def test_the_mean_of_many_equal_values(value: float) -> None:
    """In float32, a simple sum of these values would lose digits."""
    x = np.full((1, 2, 100, 103), value, F32)
    for window, stride in (((100, 103), 1), ((1, 103), (30, 1)), ((5, 4), (31, 31)), (60, 37)):
        (y,) = run(Call("avg_pool2d", (x, window), {"stride": stride, "padding": 0}))
        np.testing.assert_allclose(y, F32(value), rtol=2**-23)


def test_the_mean_of_large_values_is_finite() -> None:
    """In float32, a sum of eight of these values would be infinite."""
    x = np.full((2, 3, 28, 28), 3e38, F32)
    x[1, 2, 27, 27] = np.inf
    (y,) = run(Call("avg_pool2d", (x, 28), {}))
    np.testing.assert_allclose(y.ravel(), F32([*[3e38] * 5, np.inf]), rtol=2**-23)


@pytest.mark.parametrize("size", [1, 31, 1023, 1024, 1025, 2048, 8193])
def test_gradients_that_meet_are_added_in_the_order_of_the_outputs(
    size: int, rng: np.random.Generator
) -> None:
    """The result is, bit for bit, that of a loop over the outputs.

    The indices come in any order. Some pixels get many gradients and some get none. Planes have one
    tile of 1024 pixels or several.
    """
    for outputs, pixels in ((1, size), (33, 3), (300, size)):
        some = rng.choice(size, pixels)
        index = rng.choice(np.append(some, -1), (2, 1, outputs, 1)).astype(np.int32)
        dy = rng.standard_normal(index.shape, F32)
        expected = np.zeros((2, 1, size, 1), F32)
        for p, o in np.ndindex(2, outputs):
            if index[p, 0, o, 0] >= 0:
                expected[p, 0, index[p, 0, o, 0]] += dy[p, 0, o]
        dx, bad = max_pool2d_backward(dy, index, expected.shape)
        assert_same_bits(dx, expected)
        assert not bad


@pytest.mark.parametrize("value", [-2, 24, 2**31 - 1, -(2**31)])
def test_indices_out_of_the_plane(value: int) -> None:
    """A bad index is reported and skipped, and all others have their effect."""
    dy, index = np.ones((2, 3, 2, 2), F32), np.zeros((2, 3, 2, 2), np.int32)
    index[1, 2, 1, 1] = value
    dx, bad = max_pool2d_backward(dy, index, (2, 3, 4, 6))
    expected = np.zeros((2, 3, 4, 6))
    expected[:, :, 0, 0] = [[4, 4, 4], [4, 4, 3]]
    np.testing.assert_array_equal(dx, expected)
    assert bad == 1
    with device() as d:  # the report may be unwanted
        call("max_pool2d_backward", d.put(dy), d.put(index), 6, 4, 24, d.empty(6 * 24), 0)


@pytest.mark.parametrize(("value", "expected"), [(-1, 0), (0, 1)])
def test_a_plane_without_inputs(value: int, expected: int) -> None:
    """All windows are blind, and the only valid index is -1."""
    index = np.full((1, 2, 3, 3), value, np.int32)
    _, bad = max_pool2d_backward(np.ones(index.shape, F32), index, (1, 2, 0, 2))
    assert bad == expected
    for op in FORWARD:
        c = Call(op, (np.ones((1, 2, 0, 2), F32), 2), {"stride": 1, "padding": ((1, 3), (1, 1))})
        check(c, run(c))


@pytest.mark.parametrize("op", ["max_pool2d", "max_pool2d_backward", "avg_pool2d_backward"])
def test_empty_batches(op: str, rng: np.random.Generator) -> None:
    for shape in OPS[op].empty:
        c = draw(op, Fill(rng), shape)
        check(c, run(c))


@pytest.mark.parametrize("name", ["lenet-pool1", "overlap", "global", "large"])
def test_more_work_than_blocks(name: str, rng: np.random.Generator) -> None:
    for op in ("max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward"):
        c = draw(op, Fill(rng), {**POOL, **LARGE}[name])
        whole = run(c)
        with most_blocks(2):
            for a, b in zip(run(c), whole, strict=True):
                assert_same_bits(a, b)
