"""Convolution, pooling and activation in one call, on an emulated GPU."""

from __future__ import annotations

import ctypes
from math import prod
from typing import Any

import numpy as np
import pytest
from calls import Array, Call, Fill
from cuda_support import call, device, library
from ops import CONV_POOL, check, check_exact, draw
from reference import pair
from test_cuda_conv2d import Algorithm, conv2d, conv2d_shape, pointers

ACTIVATIONS = (None, "relu", "tanh", "sigmoid")


class Pool2dShape(ctypes.Structure):
    """byhand::Pool2dShape."""

    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in (
            *("batch", "channels", "in_h", "in_w", "out_h", "out_w"),
            *("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"),
            *("top", "bottom", "left", "right"),
        )
    )


class Gradients(ctypes.Structure):
    """ops::ConvPoolGradients."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("dy", "y", "index")),
        ("outputs", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("x", "weight", "cache", "dx", "dw", "db")),
    )


def scratch_size(name: str, *arguments: Any) -> int:
    function = getattr(library(), name)
    function.restype = ctypes.c_int64
    return int(function(*map(ctypes.byref, arguments)))


def conv2d_pool_act(
    x: Array,
    weight: Array,
    bias: Array | None,
    activation: str | None,
    pool_size: Any = 2,
    algorithm: Any = None,
    **geometry: Any,
) -> tuple[Array, Array]:
    s = conv2d_shape(x.shape, weight.shape, **geometry)
    h, w = pair(pool_size)
    shape = (s.batch, s.out_channels, s.out_h // h, s.out_w // w)
    pool = Pool2dShape(*shape[:2], s.out_h, s.out_w, *shape[2:], h, w, h, w, 1, 1, 0, 0, 0, 0)
    with device() as d:
        y, index = d.empty(prod(shape)), d.empty(prod(shape))
        arrays = (d.put(x), d.put(weight), 0 if bias is None else d.put(bias), y, index)
        scratch = d.empty(scratch_size("conv2d_pool_act_scratch", s))
        chosen = Algorithm.WINOGRAD if algorithm == "winograd" else Algorithm.DIRECT
        f = ctypes.c_int(ACTIVATIONS.index(activation))
        call("conv2d_pool_act", s, ctypes.c_int(chosen), pool, f, *pointers(*arrays, scratch))
        return d.get(y, shape), d.get(index, shape, np.int32)


def conv2d_pool_act_backward(
    dy: Array,
    y: Array,
    index: Array,
    x: Array,
    weight: Array,
    activation: str | None,
    *,
    wanted: tuple[bool, bool] = (True, True),
    algorithm: Any = None,
    **geometry: Any,
) -> tuple[Any, Array, Any, int]:
    """Return dx, dw and db, or None for those that are not wanted, and the flag of bad indices."""
    s = conv2d_shape(x.shape, weight.shape, **geometry)
    outputs = prod(dy.shape[2:])
    size = scratch_size("conv2d_pool_act_backward_scratch", s, ctypes.c_int64(outputs))
    with device() as d:
        dx = d.empty(x.size) if wanted[0] else 0
        dw = d.empty(weight.size)
        db = d.empty(len(weight)) if wanted[1] else 0
        g = Gradients(
            *(d.put(a) for a in (dy, y, index)), outputs, d.put(x), d.put(weight), 0, dx, dw, db
        )
        bad = d.put(np.zeros(1, np.int32))
        f = ctypes.c_int(ACTIVATIONS.index(activation))
        direct = ctypes.c_int(Algorithm.DIRECT)
        call("conv2d_pool_act_backward", s, direct, f, g, *pointers(d.empty(size), bad))
        return (
            d.get(dx, x.shape) if dx else None,
            d.get(dw, weight.shape),
            d.get(db, (len(weight),)) if db else None,
            int(d.get(bad, (1,), np.int32)[0]),
        )


SMALL = [{**shape, "x": (1, *shape["x"][1:])} for shape in CONV_POOL["small"]]


def results(c: Call) -> tuple[Array, ...]:
    if c.op == "conv2d_pool_act":
        return conv2d_pool_act(*c.args, **c.kwargs)
    return conv2d_pool_act_backward(*c.args, **c.kwargs)[:3]


@pytest.mark.slow
@pytest.mark.parametrize("op", ["conv2d_pool_act", "conv2d_pool_act_backward"])
@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_every_shape(op: str, shape: dict[str, Any], rng: np.random.Generator) -> None:
    exact = shape["activation"] in ("relu", None)
    c = draw(op, Fill(rng, integers=exact), shape)
    if exact:
        check_exact(c, results(c))
    else:
        check(c, results(c))


def test_ties_and_nan(rng: np.random.Generator) -> None:
    """Among equal values the first wins, and among NaN the last.

    The last row and the last column of the plane belong to no window.
    """
    x = rng.integers(0, 2, (3, 1, 7, 9)).astype(np.float32)
    x[1, 0, 2, 4] = x[1, 0, 3, 5] = np.nan
    w = np.ones((1, 1, 1, 1), np.float32)
    y, index = conv2d_pool_act(x, w, None, "relu")
    window = x[:, :, :6, :8].reshape(3, 1, 3, 2, 4, 2).transpose(0, 1, 2, 4, 3, 5)
    window = window.reshape(3, 1, 3, 4, 4)
    best = window.argmax(axis=-1)  # the first, or the first NaN
    best[1, 0, 1, 2] = 3
    np.testing.assert_array_equal(y, np.take_along_axis(window, best[..., None], -1)[..., 0])
    rows, columns = np.indices((3, 4)) * 2
    np.testing.assert_array_equal(index, (rows + best // 2) * 9 + columns + best % 2)


def test_the_convolution_has_the_same_bits(rng: np.random.Generator) -> None:
    fill = Fill(rng)
    x, w, b = fill(2, 3, 6, 7), fill(4, 3, 3, 3), fill(4)
    y, index = conv2d_pool_act(x, w, b, None, 1)
    np.testing.assert_array_equal(y, conv2d(x, w, b))
    np.testing.assert_array_equal(index, np.broadcast_to(np.arange(20).reshape(4, 5), y.shape))


def backward_arguments(rng: np.random.Generator) -> tuple[Any, ...]:
    c = draw("conv2d_pool_act_backward", Fill(rng, integers=True), SMALL[1])
    return c.args


def test_what_is_not_wanted(rng: np.random.Generator) -> None:
    args = backward_arguments(rng)
    whole = conv2d_pool_act_backward(*args, padding=1)
    assert whole[3] == 0
    for wanted in ((False, True), (True, False), (False, False)):
        part = conv2d_pool_act_backward(*args, padding=1, wanted=wanted)
        assert [a is not None for a in part[:3]] == [wanted[0], True, wanted[1]]
        for one, other in zip(part, whole, strict=True):
            assert one is None or np.array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [-1, 13 * 11, 2**31 - 1, -(2**31)])
def test_bad_indices(wrong: int, rng: np.random.Generator) -> None:
    args = list(backward_arguments(rng))
    args[2] = args[2].copy()
    args[2].flat[-1] = wrong
    assert conv2d_pool_act_backward(*args, padding=1)[3] == 1


def test_indices_outside_of_their_windows(rng: np.random.Generator) -> None:
    """An index may name any position in the plane. Gradients with the same position are added."""
    c = draw("conv2d_pool_act_backward", Fill(rng, integers=True), SMALL[1])
    c.args[2][0, 3] = rng.integers(0, 13 * 11, c.args[2].shape[2:])
    c.args[2][0, 4] = 13 * 11 - 1
    check_exact(c, results(c))


def test_an_empty_batch() -> None:
    def zeros(*shape: int) -> Array:
        return np.zeros(shape, np.float32)

    y, index = conv2d_pool_act(zeros(0, 2, 6, 6), zeros(3, 2, 3, 3), zeros(3), "tanh")
    assert y.shape == index.shape == (0, 3, 2, 2)
    args = (y, y, index, zeros(0, 2, 6, 6), zeros(3, 2, 3, 3), "tanh")
    _, dw, db, _ = conv2d_pool_act_backward(*args)
    assert not dw.any() and not db.any()


def test_only_the_direct_algorithm() -> None:
    x, w = np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 3, 3), np.float32)
    with pytest.raises(RuntimeError, match="CUDA has only the direct algorithm"):
        conv2d_pool_act(x, w, None, None, algorithm="winograd")
