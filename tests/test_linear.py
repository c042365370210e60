"""linear and its gradients: the shapes of the models, adjoints, and fused activations."""

from __future__ import annotations

from itertools import product
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import kernels
from calls import Array, Call, Fill
from devices import SCHEDULES
from ops import check, check_exact
from tolerance import assert_same_bits

F32 = np.float32

MODELS = [
    (128, 784, 10),
    (128, 784, 128),
    (96, 128, 64),
    (96, 64, 10),
    (1, 800, 128),
    (17, 128, 10),
]

# (n, inputs, outputs) at the edges of the tiles of csrc/cuda/tile_product.cuh: 64 rows, 128 columns
# and a depth of 8, in rounds of 16 steps. Some shapes are read four values at a time, others not.
CUDA_TILES = [
    (1, 1, 1),
    (3, 5, 2),
    (64, 8, 128),
    (12, 36, 132),
    (5, 131, 7),
    (131, 3, 10),
    (3, 0, 2),
    (0, 4, 3),
    (3, 4, 0),
    (65, 17, 130),  # two tiles in both directions
    (68, 132, 12),
]
ACTIVATIONS = [None, "relu", "tanh", "sigmoid"]


def test_the_bias_gradient_of_many_rows(device: str) -> None:
    """In float32, a simple sum of 300,000 equal values has a relative error of 10^-5.

    On CUDA, a thread adds the values of every 32nd row. In float32, the sum of its part of 10,000
    values would have a relative error of 10^-6.
    """
    rows = 10_000 if device in SCHEDULES else 300_000
    dy = np.full((rows, 3), 0.1, F32)
    np.testing.assert_allclose(kernels.linear_backward_bias(dy), rows * F32(0.1), rtol=2**-23)


def test_the_bias_gradient_at_the_edges(device: str, rng: np.random.Generator) -> None:
    """On CUDA, a block has 32 columns, and a thread loads four of every 32nd row at a time."""
    for rows, columns in product((1, 31, 33, 129), (1, 32, 33, 100)):
        call = Call("linear_backward_bias", (Fill(rng, integers=True)(rows, columns),), {})
        check_exact(call, call.kernel())


@pytest.mark.parametrize(("n", "inputs", "outputs"), MODELS)
def test_models_and_adjoints(
    n: int, inputs: int, outputs: int, isa: str, threads: int, rng: np.random.Generator
) -> None:
    check_adjoints(n, inputs, outputs, rng)


@pytest.mark.parametrize(("n", "inputs", "outputs"), CUDA_TILES)
def test_tiles_and_adjoints(
    n: int, inputs: int, outputs: int, device: str, rng: np.random.Generator
) -> None:
    check_adjoints(n, inputs, outputs, rng)
    fill = Fill(rng, integers=True)
    call = Call("linear", (fill(n, inputs), fill(outputs, inputs), fill(outputs)), {})
    check_exact(call, call.kernel())


def check_adjoints(n: int, inputs: int, outputs: int, rng: np.random.Generator) -> None:
    """Integers are exact, and sum(linear(x, w) * dy) == sum(x * dX) == sum(w * dW)."""
    fill = Fill(rng, integers=True)
    x, w, dy = fill(n, inputs), fill(outputs, inputs), fill(n, outputs)
    results = []
    for call in (
        Call("linear", (x, w), {}),
        Call("linear_backward_input", (dy, w), {}),
        Call("linear_backward_weight", (dy, x), {}),
        Call("linear_backward_bias", (dy,), {}),
    ):
        results.append(call.kernel()[0].astype(np.int64))
        check_exact(call, call.kernel())
    y, dx, dw, db = results
    whole = np.sum(y * dy.astype(np.int64))
    assert whole == np.sum(x.astype(np.int64) * dx) == np.sum(w.astype(np.int64) * dw)
    assert np.sum(dy.astype(np.int64)) == np.sum(db)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("nio", [(5, 30, 70), (66, 40, 8)], ids=str)
def test_fused_activations_on_two_tiles(
    nio: tuple[int, int, int], activation: str | None, device: str, rng: np.random.Generator
) -> None:
    n, inputs, outputs = nio
    fill = Fill(rng)
    x, w, b, dy = fill(n, inputs), fill(outputs, inputs), fill(outputs), fill(n, outputs)
    call = Call("linear_act", (x, w, b, activation), {})
    (y,) = call.kernel()
    check(call, (y,))
    call = Call("linear_act_backward", (dy, y, x, w, activation), {})
    check(call, call.kernel())


def test_without_features(device: str) -> None:
    """Without inputs the result is the bias. Without outputs it is empty, and dx is zeros."""
    f32 = np.float32
    bias = np.arange(4, dtype=f32)
    y = kernels.linear(np.ones((3, 0), f32), np.ones((4, 0), f32), bias)
    np.testing.assert_array_equal(y, np.tile(bias, (3, 1)))
    assert kernels.linear(np.ones((3, 5), f32), np.ones((0, 5), f32)).shape == (3, 0)
    dx = kernels.linear_backward_input(np.ones((3, 0), f32), np.ones((0, 5), f32))
    np.testing.assert_array_equal(dx, np.zeros((3, 5)))


def test_nan_reaches_its_row_only(device: str) -> None:
    x, w, dy = np.ones((9, 20), F32), np.ones((7, 20), F32), np.ones((9, 7), F32)
    x[4, 3] = dy[4, 3] = np.nan
    for activation in ACTIVATIONS:
        y = kernels.linear_act(x, w, None, activation)
        np.testing.assert_array_equal(np.isnan(y).any(axis=1), np.arange(9) == 4)
    dx = kernels.linear_backward_input(dy, w)
    dw = kernels.linear_backward_weight(dy, np.ones((9, 20), F32))
    np.testing.assert_array_equal(np.isnan(dx).any(axis=1), np.arange(9) == 4)
    np.testing.assert_array_equal(np.isnan(dw).any(axis=1), np.arange(7) == 3)
    np.testing.assert_array_equal(np.isnan(kernels.linear_backward_bias(dy)), np.arange(7) == 3)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_a_fused_activation_changes_no_bit(
    activation: str, bias: bool, device: str, threads: int, rng: np.random.Generator
) -> None:
    """Test every path through the product: (n, in, out), and the path that each shape takes."""
    long = [
        (5, 9000, 3),  # chunks of a long sum
        (64, 8192, 64),
        (57, 30, 2100),  # blocks of columns
        (10, 60, 1500),  # parts of columns
        (30, 2000, 9),  # dots
        (15, 1025, 33),  # steps of the depth
    ]
    tiles = [(5, 30, 70)] if device in SCHEDULES else long
    for n, i, o in [*tiles, (7, 5, 1), (3, 0, 2), (0, 4, 3)]:
        x, w = rng.standard_normal((n, i), np.float32), rng.standard_normal((o, i), np.float32)
        b = rng.standard_normal(o, np.float32) if bias else None
        expected = getattr(kernels, activation)(kernels.linear(x, w, b))
        assert_same_bits(kernels.linear_act(x, w, b, activation), expected, f"{n, i, o}")


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", None])
def test_the_fused_backward_changes_no_bit(
    activation: str | None, isa: str, rng: np.random.Generator
) -> None:
    """Test every path: (n, in, out), and the path that each shape takes.

    The number of threads must not change a bit, either.
    """
    for n, i, o in [
        (128, 90, 64),  # parts of both products
        (57, 30, 2100),  # parts of many rows
        (9, 2100, 40),  # parts of columns; only one part adds up the bias
        (300, 2100, 1),  # dW is a row
        (300, 1, 700),  # dX is a column, which gemm computes as a row
        (8192, 64, 5),  # chunks of a long sum
        (30, 9, 8200),
        (7, 5, 1),  # too small for several threads
        (3, 0, 2),
        (0, 4, 3),
    ]:
        y, dy, x, w = linear_gradient_arguments(rng, n, i, o)
        dx, dw, db = separate_gradients(dy, y, x, w, activation)
        for threads in (1, 2, 3):
            with byhand.num_threads(threads):
                both = kernels.linear_act_backward(dy, y, x, w, activation)
                _, *last = kernels.linear_act_backward(
                    dy, y, x, w, activation, input_gradient=False
                )
            for got, want in zip((*both, *last), (dx, dw, db, dw, db), strict=True):
                assert_same_bits(got, want, f"{n, i, o}, {threads} threads")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_fused_backward_changes_no_bit_on_cuda(
    activation: str | None, cuda: str, rng: np.random.Generator
) -> None:
    for n, i, o in CUDA_TILES[:-2]:
        y, dy, x, w = linear_gradient_arguments(rng, n, i, o)
        expected = separate_gradients(dy, y, x, w, activation)
        got = kernels.linear_act_backward(dy, y, x, w, activation)
        for one, other in zip(got, expected, strict=True):
            assert_same_bits(one, other, f"{n, i, o}")


def linear_gradient_arguments(
    rng: np.random.Generator, n: int, i: int, o: int
) -> tuple[Array, Array, Array, Array]:
    """Draw y, dy, x and w."""
    x, w = rng.standard_normal((n, i), F32), rng.standard_normal((o, i), F32)
    return rng.standard_normal((n, o), F32), rng.standard_normal((n, o), F32), x, w


def separate_gradients(
    dy: Array, y: Array, x: Array, w: Array, activation: str | None
) -> tuple[Array, Array, Array]:
    """Return what linear_act_backward returns, computed with one kernel per result."""
    dz = dy if activation is None else getattr(kernels, f"{activation}_backward")(dy, y)
    dx, dw = kernels.linear_backward_input(dz, w), kernels.linear_backward_weight(dz, x)
    return dx, dw, kernels.linear_backward_bias(dz)


@pytest.mark.parametrize("is_aligned", [False, True])
def test_an_output_that_is_not_aligned_on_cuda(
    is_aligned: bool, cuda: str, rng: np.random.Generator
) -> None:
    """dy lies at a multiple of 16 bytes. If y does not, no four values are read at once."""
    y, dy, x, w = linear_gradient_arguments(rng, 8, 4, 12)
    skipped = 0 if is_aligned else 1
    memory = np.concatenate([np.zeros(skipped, F32), y.ravel()])
    moved = byhand.asarray(memory, "cuda")[skipped:].reshape(8, 12)
    got = kernels.linear_act_backward(dy, moved, x, w, "tanh")
    for one, other in zip(got, separate_gradients(dy, y, x, w, "tanh"), strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("skipped", [0, 1, 2, 3])
def test_operands_that_are_not_aligned_on_cuda(
    skipped: int, cuda: str, rng: np.random.Generator
) -> None:
    def moved(array: Array) -> Any:
        memory = np.concatenate([np.zeros(skipped, F32), array.ravel()])
        return byhand.asarray(memory, "cuda")[skipped:].reshape(*array.shape)

    fill = Fill(rng, integers=True)
    x, w, b, dy = fill(8, 20), fill(12, 20), fill(12), fill(8, 12)
    for call in (
        Call("linear", (x, w, b), {}),
        Call("linear_backward_input", (dy, w), {}),
        Call("linear_backward_weight", (dy, x), {}),
        Call("linear_backward_bias", (dy,), {}),
    ):
        check_exact(call, call.map(moved).kernel())


@pytest.mark.parametrize("activation", ["relu", None])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_fused_adjoints(
    order: Any, activation: str | None, isa: str, threads: int, rng: np.random.Generator
) -> None:
    """sum(z * dz) == sum(x * dX) == sum(w * dW) in integers, for x and w in C and Fortran order."""
    fill = Fill(rng, integers=True)
    x, w, dy = fill(96, 130), fill(70, 130), fill(96, 70)
    x, w = np.asarray(x, order=order), np.asarray(w, order=order)
    y = kernels.linear_act(x, w, None, activation)
    grads = kernels.linear_act_backward(dy, y, x, w, activation)
    dx, dw, db = (grad.astype(np.int64) for grad in grads if grad is not None)
    whole = np.sum(y.astype(np.int64) * dy)  # relu is linear where its slope is not 0
    assert whole == np.sum(x.astype(np.int64) * dx) == np.sum(w.astype(np.int64) * dw) != 0
    passed = dy if activation is None else dy[y > 0]
    assert np.sum(db) == np.sum(passed.astype(np.int64))


def test_cuda_reads_no_output_without_an_activation(cuda: str, rng: np.random.Generator) -> None:
    """Nobody has written `output`, so the emulator would end the process if a kernel read it."""
    y, dy, x, w = linear_gradient_arguments(rng, 3, 4, 2)
    got = kernels.linear_act_backward(dy, kernels.empty((3, 2), "cuda"), x, w, None)
    for one, other in zip(got, separate_gradients(dy, y, x, w, None), strict=True):
        assert_same_bits(one, other)


def test_without_an_activation_no_output_is_read(device: str, rng: np.random.Generator) -> None:
    x, w, dy = rng.standard_normal((3, 4), F32), np.ones((2, 4), F32), np.ones((3, 2), F32)
    expected = kernels.linear_act_backward(dy, np.full_like(dy, np.nan), x, w, None)
    for got, want in zip(kernels.linear_act_backward(dy, None, x, w, None), expected, strict=True):
        assert_same_bits(got, want)
    with pytest.raises(ValueError, match=r"output must have shape \(3, 2\)"):
        kernels.linear_act_backward(dy, dy[:2], x, w, None)
    with pytest.raises(TypeError, match=r"output must be a numpy\.ndarray, got NoneType"):
        kernels.linear_act_backward(dy, None, x, w, "relu")


def test_gradients_that_nobody_wants(device: str, rng: np.random.Generator) -> None:
    x, w, dy = rng.standard_normal((3, 4), F32), np.ones((2, 4), F32), np.ones((3, 2), F32)
    dw = np.empty_like(w)
    unwanted = {"input_gradient": False, "bias_gradient": False}
    grads = kernels.linear_act_backward(dy, dy, x, w, **unwanted, out=(None, dw, None))
    assert grads[0] is None and grads[1] is dw and grads[2] is None
    assert_same_bits(dw, kernels.linear_act_backward(dy, dy, x, w)[1])
    for i, name in ((0, "input_gradient"), (2, "bias_gradient")):
        out = tuple(np.empty_like(x) if j == i else None for j in range(3))
        with pytest.raises(ValueError, match=rf"out\[{i}\] must be None if {name} is False"):
            kernels.linear_act_backward(dy, dy, x, w, **unwanted, out=out)


def test_gradients_share_no_memory(rng: np.random.Generator) -> None:
    x, w, dy = np.ones((2, 4), F32), np.ones((2, 4), F32), np.ones((2, 2), F32)
    memory = np.empty(8, F32)
    matrix, row = memory.reshape(2, 4), memory[:2]
    for out in ((matrix, matrix, None), (None, matrix, row), (matrix, None, row)):
        with pytest.raises(ValueError, match=r"out\[\d\] must not overlap"):
            kernels.linear_act_backward(dy, dy, x, w, out=out)
