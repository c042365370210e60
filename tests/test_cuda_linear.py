"""linear and its gradients on an emulated GPU: exact integers, adjoints, fused activations."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from calls import Array, Call, Fill
from cuda_support import Device, Matrix, call, device
from ops import check, check_exact
from tolerance import assert_same_bits

F32 = np.float32
ACTIVATIONS = [None, "relu", "tanh", "sigmoid"]  # in the order of ops::Activation

# (n, inputs, outputs): one value, the edges of tiles and steps, and layouts with and without float4
SHAPES = [
    (1, 1, 1),
    (3, 5, 2),
    (64, 16, 64),
    (65, 17, 66),
    (12, 36, 72),
    (2, 100, 10),
    (70, 4, 1),
    (3, 0, 2),
    (0, 4, 3),
    (3, 4, 0),
]


class Gradients(ctypes.Structure):
    """ops::LinearGradients."""

    _fields_ = (
        ("dy", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("x", Matrix),
        ("weight", Matrix),
        *((name, ctypes.c_void_p) for name in ("dx", "dw", "db")),
    )


def linear(x: Array, w: Array, bias: Array | None, activation: str | None = None) -> Array:
    with device() as d:
        y = d.empty(len(x) * len(w))
        place = 0 if bias is None else d.put(bias)
        call("linear", d.matrix(x), d.matrix(w), place, ACTIVATIONS.index(activation), y)
        return np.asarray(d.get(y, (len(x), len(w))))


def backward_input(dy: Array, w: Array) -> Array:
    with device() as d:
        dx = d.empty(len(dy) * w.shape[1])
        call("linear_backward_input", d.matrix(dy), d.matrix(w), dx)
        return np.asarray(d.get(dx, (len(dy), w.shape[1])))


def backward_weight(dy: Array, x: Array) -> Array:
    with device() as d:
        dw = d.empty(dy.shape[1] * x.shape[1])
        call("linear_backward_weight", d.matrix(dy), d.matrix(x), dw)
        return np.asarray(d.get(dw, (dy.shape[1], x.shape[1])))


def backward_bias(dy: Array) -> Array:
    with device() as d:
        db = d.empty(dy.shape[1])
        call("linear_backward_bias", d.put(dy), *dy.shape, db)
        return np.asarray(d.get(db, (dy.shape[1],)))


def activation_backward(activation: str | None, dy: Array, y: Array) -> Array:
    if activation is None:
        return dy
    with device() as d:
        dz = d.empty(dy.size)
        call(f"{activation}_backward", d.put(dy), d.put(y), dy.size, dz)
        return np.asarray(d.get(dz, dy.shape))


def act_backward(
    dy: Array, y: Array | None, x: Array, w: Array, activation: str | None
) -> tuple[Array, Array, Array]:
    with device() as d:
        arrays = _gradients(d, dy, y, x, w)
        call("linear_act_backward", ACTIVATIONS.index(activation), arrays)
        shapes = ((arrays.dx, x.shape), (arrays.dw, w.shape), (arrays.db, (len(w),)))
        dx, dw, db = (d.get(int(place or 0), shape) for place, shape in shapes)
        return dx, dw, db


def _gradients(d: Device, dy: Array, y: Array | None, x: Array, w: Array) -> Gradients:
    place = 0 if y is None else d.put(y)
    outs = (d.empty(x.size), d.empty(w.size), d.empty(len(w)))
    return Gradients(d.put(dy), place, d.matrix(x), d.matrix(w), *outs)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_integers_and_adjoints(shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    """Integers are exact, and sum(linear(x, w) * dy) == sum(x * dX) == sum(w * dW)."""
    n, inputs, outputs = shape
    fill = Fill(rng, integers=True)
    x, w, dy, b = fill(n, inputs), fill(outputs, inputs), fill(n, outputs), fill(outputs)
    y, dx, dw, db = (
        linear(x, w, None),
        backward_input(dy, w),
        backward_weight(dy, x),
        backward_bias(dy),
    )
    check_exact(Call("linear", (x, w), {}), (y,))
    check_exact(Call("linear", (x, w, b), {}), (linear(x, w, b),))
    check_exact(Call("linear_backward_input", (dy, w), {}), (dx,))
    check_exact(Call("linear_backward_weight", (dy, x), {}), (dw,))
    check_exact(Call("linear_backward_bias", (dy,), {}), (db,))
    whole = np.sum(y * dy)
    assert whole == np.sum(x * dx) == np.sum(w * dw)
    assert np.sum(dy) == np.sum(db)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(5, 30, 70), (66, 40, 8)], ids=str)
def test_near_the_reference(
    shape: tuple[int, int, int], activation: str | None, rng: np.random.Generator
) -> None:
    n, inputs, outputs = shape
    fill = Fill(rng)
    x, w, dy, b = fill(n, inputs), fill(outputs, inputs), fill(n, outputs), fill(outputs)
    y = linear(x, w, b, activation)
    check(Call("linear_act", (x, w, b, activation), {}), (y,))
    got = act_backward(dy, y, x, w, activation)
    check(Call("linear_act_backward", (dy, y, x, w, activation), {}), got)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_a_fused_activation_changes_no_bit(
    activation: str, bias: bool, rng: np.random.Generator
) -> None:
    for n, inputs, outputs in ((5, 30, 70), (3, 0, 2), (0, 4, 3)):
        x, w = rng.standard_normal((n, inputs), F32), rng.standard_normal((outputs, inputs), F32)
        b = rng.standard_normal(outputs, F32) if bias else None
        z = linear(x, w, b)
        with device() as d:
            y = d.empty(z.size)
            call(f"activation_{activation}", d.put(z), z.size, y)
            assert_same_bits(linear(x, w, b, activation), d.get(y, z.shape))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_fused_backward_changes_no_bit(
    shape: tuple[int, int, int], activation: str | None, rng: np.random.Generator
) -> None:
    n, inputs, outputs = shape
    x, w = rng.standard_normal((n, inputs), F32), rng.standard_normal((outputs, inputs), F32)
    y, dy = rng.standard_normal((n, outputs), F32), rng.standard_normal((n, outputs), F32)
    dz = activation_backward(activation, dy, y)
    expected = backward_input(dz, w), backward_weight(dz, x), backward_bias(dz)
    got = act_backward(dy, y, x, w, activation)
    for one, other in zip(got, expected, strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("y_is_aligned", [False, True])
def test_an_output_that_is_not_aligned(y_is_aligned: bool, rng: np.random.Generator) -> None:
    """dy lies at a multiple of 16 bytes. If y does not, no four values are read at once."""
    x, w = rng.standard_normal((8, 4), F32), rng.standard_normal((12, 4), F32)
    y, dy = rng.standard_normal((8, 12), F32), rng.standard_normal((8, 12), F32)
    with device() as d:
        g = _gradients(d, dy, None, x, w)
        skipped = 0 if y_is_aligned else 1
        g.y = d.put(np.concatenate([np.zeros(skipped, F32), y.ravel()])) + 4 * skipped
        call("linear_act_backward", ACTIVATIONS.index("tanh"), g)
        expected = act_backward(dy, y, x, w, "tanh")
        for place, want in zip((g.dx, g.dw, g.db), expected, strict=True):
            assert_same_bits(d.get(int(place), want.shape), want)


def test_operands_with_strides(rng: np.random.Generator) -> None:
    """x and the weights are parts of larger arrays, transposed, or the same row many times."""
    fill = Fill(rng, integers=True)
    dy = fill(6, 10)
    for x, w in (
        (fill(12, 40)[::2, 5:25], fill(20, 30).T[::3]),
        (fill(20, 6).T, fill(10, 20)[::-1, ::-1]),
    ):
        check_exact(Call("linear", (x, w), {}), (linear(x, w, None),))
        got = act_backward(dy, dy, x, w, "relu")
        check_exact(Call("linear_act_backward", (dy, dy, x, w, "relu"), {}), got)
    row = fill(20)
    with device() as d:
        y = d.empty(6 * 10)
        call("linear", Matrix(d.put(row), 6, 20, 0, 1), d.matrix(w), 0, 0, y)
        x = np.tile(row, (6, 1))
        check_exact(Call("linear", (x, w), {}), (d.get(y, (6, 10)),))


def test_the_bias_gradient_of_many_rows() -> None:
    """In float32, a simple sum of 300,000 equal values has a relative error of 10^-5."""
    dy = np.full((300_000, 3), 0.1, F32)
    np.testing.assert_allclose(backward_bias(dy), 300_000 * F32(0.1), rtol=2**-23)


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("columns", [1, 31, 32, 33, 100])
def test_the_bias_gradient_at_the_edges(rows: int, columns: int, rng: np.random.Generator) -> None:
    dy = Fill(rng, integers=True)(rows, columns)
    check_exact(Call("linear_backward_bias", (dy,), {}), (backward_bias(dy),))


def test_nan_reaches_its_row_only() -> None:
    x, w = np.ones((9, 20), F32), np.ones((7, 20), F32)
    x[4, 3] = np.nan
    for activation in ACTIVATIONS:
        y = linear(x, w, None, activation)
        np.testing.assert_array_equal(np.isnan(y).any(axis=1), np.arange(9) == 4)
    dy = np.ones((9, 7), F32)
    dy[4, 3] = np.nan
    np.testing.assert_array_equal(np.isnan(backward_bias(dy)), np.arange(7) == 3)
    np.testing.assert_array_equal(np.isnan(backward_input(dy, w)).any(axis=1), np.arange(9) == 4)
    dw = backward_weight(dy, np.ones((9, 20), F32))
    np.testing.assert_array_equal(np.isnan(dw).any(axis=1), np.arange(7) == 3)


def test_without_an_activation_no_output_is_read(rng: np.random.Generator) -> None:
    """Nobody has written y, so the emulator would end the process."""
    x, w, dy = rng.standard_normal((3, 4), F32), np.ones((2, 4), F32), np.ones((3, 2), F32)
    expected = act_backward(dy, None, x, w, None)
    with device() as d:
        g = _gradients(d, dy, None, x, w)
        g.y = d.empty(dy.size)
        call("linear_act_backward", 0, g)
        for place, want in zip((g.dx, g.dw, g.db), expected, strict=True):
            assert_same_bits(d.get(int(place), want.shape), want)


def test_gradients_that_nobody_wants(rng: np.random.Generator) -> None:
    x, w, dy = rng.standard_normal((3, 4), F32), np.ones((2, 4), F32), np.ones((3, 2), F32)
    _, want, _ = act_backward(dy, dy, x, w, "relu")
    with device() as d:
        g = _gradients(d, dy, dy, x, w)
        g.dx = g.db = None
        call("linear_act_backward", 1, g)
        assert_same_bits(d.get(int(g.dw or 0), want.shape), want)
