"""Convolution and its gradients on an emulated GPU, on the shapes of shapes/conv2d.toml."""

from __future__ import annotations

import ctypes
from enum import IntEnum
from math import prod
from typing import Any

import numpy as np
import pytest
import reference
from calls import Array, Call, Fill
from cuda_support import call, device, library
from ops import CONV, check, check_exact, conv_output_shape

# The shapes about blocks of the CPU kernels are large, and no edges for a GPU. A batch of 1 or 2 is
# enough to see that images are told apart, and the emulator is slow.
CPU_BLOCKS = ("bands", "blocks-of-channels", "pointwise-sums")
SHAPES = {
    name: {**shape, "x": [min(shape["x"][0], 1 if "lenet" in name else 2), *shape["x"][1:]]}
    for name, shape in CONV.items()
    if name not in CPU_BLOCKS
}
F32 = np.float32


class Algorithm(IntEnum):
    """ops::ConvAlgorithm."""

    AUTO, DIRECT, WINOGRAD = range(3)


class Conv2dShape(ctypes.Structure):
    """byhand::Conv2dShape."""

    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in (
            *("batch", "in_channels", "in_h", "in_w"),
            *("out_channels", "out_h", "out_w"),
            *("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"),
            *("top", "bottom", "left", "right"),
            "groups",
        )
    )


def conv2d_shape(x: Any, weight: Any, **geometry: Any) -> Conv2dShape:
    """Make the shape from the shapes of x and weight and the keyword arguments of conv2d."""
    window, groups = reference.conv_geometry(x, weight, **geometry)
    rows, columns = window.rows, window.columns
    pairs = [
        (getattr(rows, key), getattr(columns, key)) for key in ("kernel", "stride", "dilation")
    ]
    padding = (rows.before, rows.after, columns.before, columns.after)
    return Conv2dShape(*x, weight[0], *window.out, *sum(pairs, ()), *padding, groups)


def conv2d(
    x: Array, weight: Array, bias: Array | None = None, algorithm: int = 0, **geometry: Any
) -> Array:
    s = conv2d_shape(x.shape, weight.shape, **geometry)
    shape = (s.batch, s.out_channels, s.out_h, s.out_w)
    with device() as d:
        b, y = 0 if bias is None else d.put(bias), d.empty(prod(shape))
        call("conv2d", s, algorithm, *pointers(d.put(x), d.put(weight), b, y))
        return d.get(y, shape)


def conv2d_backward_input(
    dy: Array, weight: Array, input_shape: Any, algorithm: int = 0, **geometry: Any
) -> Array:
    s = conv2d_shape(input_shape, weight.shape, **geometry)
    with device() as d:
        dx = d.empty(prod(input_shape))
        call("conv2d_backward_input", s, algorithm, *pointers(d.put(dy), d.put(weight), dx))
        return d.get(dx, tuple(input_shape))


def conv2d_backward_weight(
    dy: Array, x: Array, weight_shape: Any, algorithm: int = 0, **geometry: Any
) -> Array:
    s = conv2d_shape(x.shape, weight_shape, **geometry)
    size = scratch_size(s)
    with device() as d:
        dw, scratch = d.empty(prod(weight_shape)), d.empty(size) if size else 0
        call("conv2d_backward_weight", s, algorithm, *pointers(d.put(dy), d.put(x), dw, scratch))
        return d.get(dw, tuple(weight_shape))


def conv2d_backward_bias(dy: Array) -> Array:
    shape = (ctypes.c_int64 * 3)(*dy.shape[:2], prod(dy.shape[2:]))
    with device() as d:
        db = d.empty(dy.shape[1])
        call("conv2d_backward_bias", d.put(dy), ctypes.byref(shape), db)
        return d.get(db, dy.shape[1:2])


def pointers(*addresses: int) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(address) for address in addresses]


def scratch_size(s: Conv2dShape) -> int:
    size = library().conv2d_backward_weight_scratch
    size.restype = ctypes.c_int64
    return int(size(ctypes.byref(s)))


OPERATORS = {
    f.__name__: f
    for f in (conv2d, conv2d_backward_input, conv2d_backward_weight, conv2d_backward_bias)
}


def calls(fill: Fill, shape: dict[str, Any]) -> list[Call]:
    """Return all four functions' calls for the same x, weight, bias and grad_output."""
    geometry = {key: value for key, value in shape.items() if key not in ("x", "weight")}
    x, w = fill(*shape["x"]), fill(*shape["weight"])
    b, dy = fill(len(w)), fill(*conv_output_shape(**shape))
    return [
        Call("conv2d", (x, w, b), geometry),
        Call("conv2d_backward_input", (dy, w, x.shape), geometry),
        Call("conv2d_backward_weight", (dy, x, w.shape), geometry),
        Call("conv2d_backward_bias", (dy,), {}),
    ]


def result(c: Call) -> tuple[Array]:
    return (OPERATORS[c.op](*c.args, **c.kwargs),)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_integers_are_exact(name: str, rng: np.random.Generator) -> None:
    for c in calls(Fill(rng, integers=True), SHAPES[name]):
        check_exact(c, result(c))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet-conv2", "dilation-stride", "groups"])
def test_floats_are_within_the_bound(name: str, rng: np.random.Generator) -> None:
    for c in calls(Fill(rng), SHAPES[name]):
        check(c, result(c))


SMALL = {
    "stride 3, dilation 2, four phases without taps": {
        "x": (2, 3, 7, 8),
        "weight": (4, 3, 2, 2),
        "stride": 3,
        "dilation": 2,
        "padding": 1,
    },
    "stride and dilation share a factor": {
        "x": (2, 2, 9, 13),
        "weight": (3, 2, 3, 2),
        "stride": (4, 6),
        "dilation": (2, 4),
        "padding": ((1, 2), (3, 0)),
    },
    "stride beyond the image": {"x": (2, 2, 3, 4), "weight": (3, 2, 2, 2), "stride": 2**31},
    "dilation beyond int": {"x": (2, 2, 3, 4), "weight": (3, 2, 1, 1), "dilation": 2**31},
    "a tile and a row of weights": {"x": (1, 1, 3, 3), "weight": (65, 1, 2, 2)},
    "a tile and a column of windows": {"x": (5, 1, 1, 13), "weight": (2, 1, 1, 1)},
    "a step and one more of depth": {"x": (2, 17, 2, 2), "weight": (2, 17, 1, 1)},
    "a tile and one more tap": {"x": (2, 13, 2, 6), "weight": (3, 13, 1, 5)},
    "a group for each output channel": {
        "x": (2, 3, 4, 4),
        "weight": (3, 1, 3, 3),
        "groups": 3,
        "padding": ((0, 1), (2, 0)),
    },
}


@pytest.mark.parametrize("name", SMALL)
def test_edges(name: str, rng: np.random.Generator) -> None:
    for c in calls(Fill(rng, integers=True), SMALL[name]):
        check_exact(c, result(c))


def test_without_bias(rng: np.random.Generator) -> None:
    x, w, _ = calls(Fill(rng, integers=True), CONV["same-3x3"])[0].args
    np.testing.assert_array_equal(conv2d(x, w, padding=1), reference.conv2d(x, w, padding=1))


@pytest.mark.parametrize("values", [255, 256, 257, 1700])
def test_parts_of_the_weight_gradient(values: int, rng: np.random.Generator) -> None:
    """From one part to seven, with a last part that is shorter than the others."""
    shape = {"x": (1, 1, 1, values), "weight": (1, 1, 1, 1)}
    parts = scratch_size(conv2d_shape(**shape))
    assert parts == {255: 0, 256: 0, 257: 2, 1700: 7}[values]
    c = calls(Fill(rng, integers=True), shape)[2]
    np.testing.assert_array_equal(result(c)[0], c.expected()[0])


@pytest.mark.parametrize("plane", [(1, 1), (1, 511), (16, 32), (27, 19), (1, 1500)])
@pytest.mark.parametrize("batch", [1, 3, 600])
def test_bias_gradient(plane: tuple[int, int], batch: int, rng: np.random.Generator) -> None:
    """Planes below, at and above the 512 threads of a block."""
    if batch * prod(plane) > 10**5:
        batch = 7
    dy = Fill(rng, integers=True)(batch, 3, *plane)
    np.testing.assert_array_equal(conv2d_backward_bias(dy), dy.sum(axis=(0, 2, 3)))


def test_bias_gradient_has_double_precision() -> None:
    dy = np.float32([2**24, 1, 1, -(2**24)]).reshape(1, 1, 1, 4)
    assert conv2d_backward_bias(dy) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bad_pixel_reaches_its_windows_only(value: float) -> None:
    """A NaN or infinity spoils exactly the windows that see it, even if their weight is 0."""
    x, w = np.ones((2, 3, 9, 20), F32), np.ones((5, 3, 3, 3), F32)
    w[1] = 0
    x[1, 2, 4, 10] = value
    y = conv2d(x, w, padding=1)
    spoiled = np.zeros(y.shape, bool)
    spoiled[1, :, 3:6, 9:12] = True
    np.testing.assert_array_equal(~np.isfinite(y), spoiled)
    assert np.isnan(y[1, 1, 3:6, 9:12]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_gradient_reaches_its_pixels_and_weights_only(value: float) -> None:
    dy, w, x = np.ones((2, 3, 3, 4), F32), np.ones((3, 2, 2, 2), F32), np.ones((2, 2, 6, 8), F32)
    dy[1, 2, 1, 3] = value
    dx = conv2d_backward_input(dy, w, x.shape, stride=2)
    spoiled = np.zeros(dx.shape, bool)
    spoiled[1, :, 2:4, 6:8] = True
    np.testing.assert_array_equal(~np.isfinite(dx), spoiled)
    dw = conv2d_backward_weight(dy, x, w.shape, stride=2)
    np.testing.assert_array_equal(~np.isfinite(dw).all(axis=(1, 2, 3)), [False, False, True])
    np.testing.assert_array_equal(
        np.isnan(conv2d_backward_bias(dy)), [False, False, value != np.inf]
    )


def test_an_infinite_weight_is_multiplied_by_the_padding() -> None:
    """On all four sides, as cuda/ops.h says. Taps that miss a pixel's phase are not used."""
    x, w = np.ones((1, 1, 4, 4), F32), np.ones((1, 1, 3, 3), F32)
    w[0, 0, 0, 0] = np.inf
    nan = np.zeros((4, 4), bool)
    nan[0], nan[:, 0] = True, True
    np.testing.assert_array_equal(np.isnan(conv2d(x, w, padding=1)[0, 0]), nan)
    np.testing.assert_array_equal(np.isinf(conv2d(x, w, padding=1)[0, 0]), ~nan)
    dx = conv2d_backward_input(x, w, x.shape, padding=1)
    np.testing.assert_array_equal(np.isnan(dx[0, 0]), nan[::-1, ::-1])
    dx = conv2d_backward_input(x[:, :, :2, :2], w, (1, 1, 5, 5), stride=2)
    expected = np.ones((5, 5))
    expected[::2, ::2] = [[np.inf, np.inf, np.nan], [np.inf, np.inf, np.nan], [np.nan] * 3]
    np.testing.assert_array_equal(np.isfinite(dx[0, 0]), np.isfinite(expected))
    np.testing.assert_array_equal(np.isnan(dx[0, 0]), np.isnan(expected))


@pytest.mark.parametrize(
    "shape",
    [
        {"x": (0, 3, 5, 5), "weight": (4, 3, 3, 3)},
        {"x": (2, 0, 5, 5), "weight": (4, 0, 3, 3)},
        {"x": (2, 3, 5, 5), "weight": (0, 3, 3, 3)},
        {"x": (2, 3, 0, 4), "weight": (4, 3, 2, 2), "padding": 1},
        {"x": (0, 2, 2**28, 2**20), "weight": (2, 2, 1, 1), "stride": 2**31},
    ],
    ids=str,
)
def test_empty_arrays(shape: dict[str, Any], rng: np.random.Generator) -> None:
    for c in calls(Fill(rng, integers=True), shape):
        np.testing.assert_array_equal(result(c)[0], c.expected()[0])


def test_an_empty_batch_gives_zeros() -> None:
    assert (
        conv2d_backward_weight(
            np.ones((0, 4, 3, 3), F32), np.ones((0, 2, 5, 5), F32), (4, 2, 3, 3)
        ).tolist()
        == np.zeros((4, 2, 3, 3)).tolist()
    )
    assert conv2d_backward_bias(np.ones((0, 4, 3, 3), F32)).tolist() == [0] * 4
    assert conv2d_backward_bias(np.ones((3, 4, 0, 3), F32)).tolist() == [0] * 4


def test_only_the_direct_algorithm() -> None:
    x, w, dy = (np.ones(s, F32) for s in ((1, 1, 4, 4), (1, 1, 3, 3), (1, 1, 2, 2)))
    np.testing.assert_array_equal(conv2d(x, w, algorithm=Algorithm.DIRECT), conv2d(x, w))
    for function, args in (
        (conv2d, (x, w)),
        (conv2d_backward_input, (dy, w, x.shape)),
        (conv2d_backward_weight, (dy, x, w.shape)),
    ):
        with pytest.raises(RuntimeError, match=r"CUDA has only the direct algorithm"):
            function(*args, algorithm=Algorithm.WINOGRAD)


def test_sizes_beyond_the_kernels() -> None:
    x, w = np.ones((1, 1, 1, 4), F32), np.ones((1, 1, 1, 1), F32)
    with pytest.raises(RuntimeError, match=r"padded image must .* 2\*\*28 .* 2147483649 x 4"):
        conv2d(x, w, padding=((2**31, 0), (0, 0)), stride=(2**31, 1))
