"""The fused convolution compared with its three separate functions; cases not in ops.py."""

from __future__ import annotations

import threading
import time
from itertools import product
from typing import Any

import byhand
import numpy as np
import pytest
import reference
from byhand import kernels, nn
from byhand._core import testing
from byhand.nn.fusion import fused
from calls import Array, Fill
from devices import SCHEDULES, few_blocks, late_error
from guard import Fence
from ops import check, check_exact
from ops import draw as draw_call
from tolerance import assert_same_bits

F32 = np.float32
# x, weight, geometry. Winograd's algorithm can take those before "padding". It takes the fourth and
# the fifth along rows.
SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "lenet-conv2": ((37, 20, 12, 12), (50, 20, 5, 5), {}),
    "cut-windows": ((6, 24, 13, 11), (17, 24, 5, 5), {}),
    "cut-rows": ((6, 24, 11, 13), (17, 24, 5, 5), {}),
    "lenet-conv1": ((46, 1, 28, 28), (21, 1, 5, 5), {}),
    "few-images": ((5, 1, 29, 28), (21, 1, 5, 5), {"padding": ((1, 0), (0, 2))}),
    "cut-3x3": ((6, 25, 12, 14), (17, 25, 3, 3), {}),
    "cut-3x3-rows": ((3, 24, 15, 9), (17, 24, 3, 3), {}),
    "cut-3x3-columns": ((3, 24, 11, 12), (17, 24, 3, 3), {}),
    "same-3x3": ((5, 16, 11, 9), (17, 16, 3, 3), {"padding": 1}),
    "padding": ((3, 3, 9, 11), (7, 3, 5, 4), {"padding": ((1, 2), (2, 3))}),
    "stride": ((3, 2, 17, 12), (3, 2, 3, 3), {"stride": 2}),
    "groups": ((3, 4, 9, 9), (6, 2, 3, 3), {"groups": 2}),
    "large-kernel": ((2, 2, 14, 15), (3, 2, 8, 9), {}),
}
every_shape = pytest.mark.parametrize("name", SHAPES)


def draw(
    name: str, rng: np.random.Generator, device: str = "cpu"
) -> tuple[Array, Array, Array, dict[str, Any]]:
    """Return images, filters, a bias and the geometry. CUDA gets less, as the emulator is slow."""
    x, w, geometry = SHAPES[name]
    if device in SCHEDULES:
        x = (1, min(x[1], 4), min(x[2], 15), min(x[3], 15))
        w = (min(w[0], 6), min(w[1], 4), *w[2:])
    images, filters = rng.standard_normal(x, F32), rng.standard_normal(w, F32)
    return images, filters, rng.standard_normal(w[0], F32), geometry


@every_shape
def test_every_bit_is_that_of_the_three_functions(
    name: str, device: str, rng: np.random.Generator
) -> None:
    for pool_size in (2, (3, 2), 1):
        x, w, b, geometry = draw(name, rng, device)
        y, indices = kernels.conv2d_pool_act(x, w, b, "tanh", pool_size, **geometry)
        pooled, places = kernels.max_pool2d(kernels.conv2d(x, w, b, **geometry), pool_size)
        assert_same_bits(y, kernels.tanh(pooled))
        assert_same_bits(indices, places)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", None])
def test_every_activation(activation: str | None, device: str, rng: np.random.Generator) -> None:
    """Integers give exact results if the activation does, and other numbers do within the bound."""
    shape = {"x": (1, 3, 9, 8), "weight": (5, 3, 3, 3), "activation": activation, "padding": 1}
    shape["algorithm"] = "direct"
    for op in ("conv2d_pool_act", "conv2d_pool_act_backward"):
        for pool_size in (2, (3, 2)):
            call = draw_call(op, Fill(rng), {**shape, "pool_size": pool_size})
            check(call, call.kernel())
            if activation in ("relu", None):
                call = draw_call(op, Fill(rng, True), {**shape, "pool_size": pool_size})
                check_exact(call, call.kernel())


def test_ties_and_nan(device: str, rng: np.random.Generator) -> None:
    """Among equal values the first wins, and among NaN the last.

    The last row and the last column of the plane belong to no window.
    """
    x = rng.integers(0, 2, (3, 1, 7, 9)).astype(F32)
    x[1, 0, 2, 4] = x[1, 0, 3, 5] = np.nan
    y, index = kernels.conv2d_pool_act(x, np.ones((1, 1, 1, 1), F32), None, "relu")
    window = x[:, :, :6, :8].reshape(3, 1, 3, 2, 4, 2).transpose(0, 1, 2, 4, 3, 5)
    window = window.reshape(3, 1, 3, 4, 4)
    best = window.argmax(axis=-1)  # the first, or the first NaN
    best[1, 0, 1, 2] = 3
    np.testing.assert_array_equal(y, np.take_along_axis(window, best[..., None], -1)[..., 0])
    rows, columns = np.indices((3, 4)) * 2
    np.testing.assert_array_equal(index, (rows + best // 2) * 9 + columns + best % 2)


def test_windows_of_neighbouring_integers(device: str, rng: np.random.Generator) -> None:
    """The largest value of a window is often larger by only 1 than the value before it."""
    x = rng.integers(0, 4, (2, 1, 6, 10)).astype(F32)
    y, index = kernels.conv2d_pool_act(x, np.ones((1, 1, 1, 1), F32), None, None)
    expected_y, expected_index = kernels.max_pool2d(x, 2)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(index, expected_index)


@pytest.mark.parametrize("shape", [(33, 1, 11, 14), (33, 3, 9, 9), (9, 24, 11, 14)])
@pytest.mark.parametrize("r", [3, 5])
def test_ties_and_nan_by_winograd(
    r: int, shape: tuple[int, ...], isa: str, rng: np.random.Generator
) -> None:
    """Among equal values the first wins, and among NaN the last.

    An odd last row or column of the plane belongs to no window.
    """
    x = rng.integers(0, 2, shape).astype(F32)
    x[5] = 0
    x[7, 0, 3, 4] = x[7, 0, 4, 4] = np.nan
    w = np.zeros((20, shape[1], r, r), F32)
    w[:, 0, 1, 1] = 1
    y, indices = kernels.conv2d_pool_act(x, w, None, None, algorithm="winograd")
    pooled, places = kernels.max_pool2d(kernels.conv2d(x, w, algorithm="winograd"), 2)
    assert_same_bits(np.isnan(y), np.isnan(pooled))
    assert_same_bits(np.nan_to_num(y), np.nan_to_num(pooled))
    assert_same_bits(indices, places)
    assert np.isnan(y[7]).any() and not np.isnan(y[np.arange(len(y)) != 7]).any()
    width = shape[3] - r + 1
    corners = np.add.outer(np.arange(0, shape[2] - r, 2) * width, np.arange(0, width - 1, 2))
    assert np.array_equal(indices[5, 3], corners)


@pytest.mark.parametrize(
    ("name", "activation"),
    [*((name, "tanh") for name in SHAPES), *(("same-3x3", f) for f in ("relu", "sigmoid", None))],
)
def test_gradients(
    name: str, activation: str | None, device: str, rng: np.random.Generator
) -> None:
    """The gradients, with and without that of the input, are within Winograd's bound."""
    x, w, b, geometry = draw(name, rng, device)
    y, indices = kernels.conv2d_pool_act(x, w, b, activation, **geometry)
    dy = rng.standard_normal(y.shape, F32)
    args = (dy, y, indices, x, w, activation)
    exact = reference.conv2d_pool_act_backward(*args, **geometry)
    results = kernels.conv2d_pool_act_backward(*args, **geometry)
    for got, want in zip(results, exact, strict=True):
        assert np.linalg.norm(got - want) < 2e-5 * np.linalg.norm(want)
    none, *alone = kernels.conv2d_pool_act_backward(*args, **geometry, input_gradient=False)
    assert none is None
    for got, want in zip(alone, exact[1:], strict=True):
        assert np.linalg.norm(got - want) < 2e-5 * np.linalg.norm(want)


@every_shape
def test_same_bits_for_any_number_of_threads(name: str, isa: str, rng: np.random.Generator) -> None:
    for input_gradient in (True, False):
        x, w, b, geometry = draw(name, rng)
        results = set()
        for n in (1, 2, 3, 4):
            with byhand.num_threads(n):
                y, indices = kernels.conv2d_pool_act(x, w, b, "tanh", **geometry)
                gradients = kernels.conv2d_pool_act_backward(
                    y, y, indices, x, w, "tanh", **geometry, input_gradient=input_gradient
                )
            arrays = [y, indices, *gradients[0 if input_gradient else 1 :]]
            results.add(b"".join(a.tobytes() for a in arrays))
        assert len(results) == 1


def test_gradient_of_the_maxima_alone(isa: str, rng: np.random.Generator) -> None:
    """Without the gradient of the input, the kernel visits only the maxima.

    With it, the kernel makes a plane of gradients. Integers make both exact.
    """
    x = rng.integers(-3, 4, (19, 2, 12, 13)).astype(F32)
    w = rng.integers(-2, 3, (5, 2, 5, 3)).astype(F32)
    y, indices = kernels.conv2d_pool_act(x, w, None, None, algorithm="direct")
    dy = rng.integers(-2, 3, y.shape).astype(F32)
    args = (dy, y, indices, x, w, None)
    exact = reference.conv2d_pool_act_backward(*args)
    for input_gradient in (True, False):
        got = kernels.conv2d_pool_act_backward(
            *args, algorithm="direct", input_gradient=input_gradient
        )
        assert np.array_equal(got[1], exact[1]) and np.array_equal(got[2], exact[2])


def test_places_of_any_windows_by_the_direct_algorithm(
    device: str, rng: np.random.Generator
) -> None:
    """An index may name any position in the plane. Gradients with the same position are added."""
    shape = {"x": (1, 2, 8, 9), "weight": (5, 2, 3, 3), "padding": 1, "algorithm": "direct"}
    call = draw_call("conv2d_pool_act_backward", Fill(rng, integers=True), shape)
    call.args[2][0, 3] = rng.integers(0, 8 * 9, call.args[2].shape[2:])
    call.args[2][0, 4] = 8 * 9 - 1
    check_exact(call, call.kernel())


@pytest.mark.parametrize("name", ["lenet-conv2", "cut-windows"])
def test_places_outside_of_their_windows(name: str, isa: str, rng: np.random.Generator) -> None:
    """An index may name any position in the plane, even outside its 2 x 2 window."""
    x, w, b, _ = draw(name, rng)
    y, indices = kernels.conv2d_pool_act(x, w, b, None)
    plane = (x.shape[2] - 4) * (x.shape[3] - 4)
    indices[1, 2] = rng.integers(0, plane, indices.shape[2:])
    indices[3, :, 0, 0] = plane - 1
    args = (rng.standard_normal(y.shape, F32), y, indices, x, w, None)
    exact = reference.conv2d_pool_act_backward(*args)
    for got, want in zip(kernels.conv2d_pool_act_backward(*args), exact, strict=True):
        assert np.linalg.norm(got - want) < 2e-5 * np.linalg.norm(want)


@pytest.mark.parametrize(
    ("name", "window"), [("lenet-conv2", (1, 2)), ("cut-windows", (3, 2)), ("cut-3x3", (4, 5))]
)
def test_one_place_beside_its_window(
    name: str, window: tuple[int, int], isa: str, rng: np.random.Generator
) -> None:
    """One index lies just outside its window.

    The second parameter is the last window of its plane, in a partly filled vector.
    """
    for away in ((0, -1), (0, 2), (0, 3), (1, -1), (1, 2), (-1, 0), (2, 0), (2, 1)):
        x, w, b, _ = draw(name, rng)
        x = x[:1]
        y, indices = kernels.conv2d_pool_act(x, w, b, None, algorithm="winograd")
        row, column = (2 * at + off for at, off in zip(window, away, strict=True))
        height, width = (side - w.shape[2] + 1 for side in x.shape[2:])
        indices[(0, 7, *window)] = min(row, height - 1) * width + min(column, width - 1)
        args = (rng.standard_normal(y.shape, F32), y, indices, x, w, None)
        exact = reference.conv2d_pool_act_backward(*args)
        results = kernels.conv2d_pool_act_backward(*args, algorithm="winograd")
        for got, want in zip(results, exact, strict=True):
            assert np.linalg.norm(got - want) < 2e-5 * np.linalg.norm(want)


@pytest.mark.parametrize(
    "name", ["lenet-conv2", "cut-windows", "cut-rows", "cut-3x3", "cut-3x3-rows", "cut-3x3-columns"]
)
def test_not_one_byte_outside_an_array_by_winograd(
    name: str, isa: str, rng: np.random.Generator
) -> None:
    for side, pool_size in product(("start", "end"), (2, (3, 2))):
        x, w, b, _ = draw(name, rng)
        y, indices = kernels.conv2d_pool_act(x, w, b, "tanh", pool_size)
        args = (y, y, indices, x, w)
        expected = kernels.conv2d_pool_act_backward(*args, "tanh")
        fence = Fence(side)
        out = tuple(fence(np.full_like(a, np.nan)) for a in expected)
        got = kernels.conv2d_pool_act_backward(*map(fence, args), "tanh", out=out)
        for one, other in zip(got, expected, strict=True):
            assert_same_bits(one, other)
        assert fence.untouched()
        exact = reference.conv2d_pool_act_backward(*args, "tanh")
        for one, want in zip(got, exact, strict=True):
            assert np.linalg.norm(one - want) < 2e-5 * np.linalg.norm(want)


@pytest.mark.parametrize(
    "name", ["lenet-conv2", "cut-windows", "cut-3x3", "cut-3x3-rows", "cut-3x3-columns", "same-3x3"]
)
def test_not_one_byte_outside_an_array_in_the_forward_pass_by_winograd(
    name: str, isa: str, rng: np.random.Generator
) -> None:
    """With 3 x 3 filters, 0 to 3 rows and columns of windows of a patch lie in the plane."""
    x, w, b, geometry = draw(name, rng)
    planes = kernels.conv2d(x, w, b, algorithm="winograd", **geometry)
    expected = kernels.max_pool2d(planes, 2)
    for side in ("start", "end"):
        fence = Fence(side)
        out = fence(np.full_like(expected[0], np.nan)), fence(np.full_like(expected[1], -1))
        arrays = map(fence, (x, w, b))
        got = kernels.conv2d_pool_act(*arrays, None, algorithm="winograd", out=out, **geometry)
        for one, other in zip(got, expected, strict=True):
            assert_same_bits(one, other)
        assert fence.untouched()


@every_shape
def test_not_one_byte_outside_an_array_without_the_gradient_of_the_input(
    name: str, isa: str, rng: np.random.Generator
) -> None:
    for side in ("start", "end"):
        x, w, b, geometry = draw(name, rng)
        y, indices = kernels.conv2d_pool_act(x, w, b, "tanh", **geometry)
        fence, args = Fence(side), (y, y, indices, x, w)
        settings = {**geometry, "input_gradient": False}
        _, *expected = kernels.conv2d_pool_act_backward(*args, "tanh", **settings)
        _, *got = kernels.conv2d_pool_act_backward(*map(fence, args), "tanh", **settings)
        for one, other in zip(got, expected, strict=True):
            assert_same_bits(one, other)
        assert fence.untouched()


def test_what_is_not_wanted_takes_no_array(device: str, rng: np.random.Generator) -> None:
    x, w, _, _ = draw("few-images", rng, device)
    y, indices = kernels.conv2d_pool_act(x, w)
    dw = np.empty_like(w)
    out = (None, dw, None)
    grads = kernels.conv2d_pool_act_backward(y, y, indices, x, w, input_gradient=False, out=out)
    assert grads[0] is None and grads[1] is dw and grads[2].shape == (len(w),)
    with pytest.raises(ValueError, match=r"out\[0\] must be None if input_gradient is False"):
        kernels.conv2d_pool_act_backward(
            y, y, indices, x, w, input_gradient=False, out=(np.empty_like(x), None, None)
        )


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
def test_places_outside_of_the_plane(algorithm: str, isa: str, rng: np.random.Generator) -> None:
    """Indices outside the plane are refused.

    An image has 17 * 12 indices, so the last vector is only partly filled.
    """
    for wrong in (-1, 9 * 7, 2**31 - 1, -(2**31)):
        x, w, _, _ = draw("cut-windows", rng)
        y, indices = kernels.conv2d_pool_act(x[:1], w)
        for input_gradient in (True, False):
            for place in (0, 100, 191, 192, 202, 203):
                bad = indices.copy()
                bad.flat[place] = wrong
                with pytest.raises(ValueError, match=f"indices must be from 0 to 62.*got {wrong}"):
                    kernels.conv2d_pool_act_backward(
                        *(y, y, bad, x[:1], w), algorithm=algorithm, input_gradient=input_gradient
                    )


@pytest.mark.parametrize("wrong", [-1, 9 * 7, 2**31 - 1, -(2**31)])
def test_places_outside_of_the_plane_on_cuda(
    wrong: int, cuda: str, rng: np.random.Generator
) -> None:
    """The error comes late and once. No memory outside of the arrays is read or written."""
    x, w, _, _ = draw("cut-windows", rng, cuda)
    y, indices = kernels.conv2d_pool_act(x, w)
    indices.flat[-1] = wrong
    message, _ = late_error("conv2d_pool_act_backward", y, y, indices, x, w)
    assert "conv2d_pool_act_backward got an index outside the plane" in message


def test_more_windows_than_threads_on_cuda(cuda: str, rng: np.random.Generator) -> None:
    """Each thread takes several windows and several indices."""
    x, w = rng.standard_normal((1, 1, 30, 40), F32), np.ones((1, 1, 1, 1), F32)
    y, indices = kernels.conv2d_pool_act(x, w, pool_size=1)
    expected = y, indices, *kernels.conv2d_pool_act_backward(y, y, indices, x, w)
    with few_blocks(1):
        y, indices = kernels.conv2d_pool_act(x, w, pool_size=1)
        got = y, indices, *kernels.conv2d_pool_act_backward(y, y, indices, x, w)
        for one, other in zip(got, expected, strict=True):
            assert_same_bits(one, other)
        indices.flat[-1] = 1200
        message, _ = late_error("conv2d_pool_act_backward", y, y, indices, x, w)
        assert "outside the plane" in message


def test_cuda_has_only_the_direct_algorithm(cuda: str, rng: np.random.Generator) -> None:
    x, w, _, _ = draw("same-3x3", rng, cuda)
    y, indices = kernels.conv2d_pool_act(x, w, algorithm="direct")
    with pytest.raises(ValueError, match="CUDA has only the direct algorithm"):
        kernels.conv2d_pool_act(x, w, algorithm="winograd")
    with pytest.raises(ValueError, match="CUDA has only the direct algorithm"):
        kernels.conv2d_pool_act_backward(y, y, indices, x, w, algorithm="winograd")


def test_an_empty_batch_has_zero_gradients(device: str) -> None:
    x, w = np.zeros((0, 2, 6, 6), F32), np.zeros((3, 2, 3, 3), F32)
    y, indices = kernels.conv2d_pool_act(x, w, None, "tanh")
    assert y.shape == indices.shape == (0, 3, 2, 2)
    dx, dw, db = kernels.conv2d_pool_act_backward(y, y, indices, x, w, "tanh")
    assert dx.shape == x.shape and dw.shape == w.shape and db.shape == (3,)
    assert not dw.any() and not db.any()


@pytest.mark.parametrize("pool_size", [0, 5, (2, 3), (-1, 2)])
def test_windows_that_do_not_fit(pool_size: Any) -> None:
    x, w = np.ones((2, 3, 6, 4), F32), np.ones((5, 3, 3, 3), F32)
    with pytest.raises(ValueError, match=r"pool_size must be from \(1, 1\) to .* \(4, 2\), got"):
        kernels.conv2d_pool_act(x, w, pool_size=pool_size)


def test_without_some_gradients(device: str, rng: np.random.Generator) -> None:
    """Without the gradient of the input, the CPU may use another algorithm for the others."""
    x, w, _, _ = draw("lenet-conv2", rng, device)
    y, indices = kernels.conv2d_pool_act(x, w)
    args = (y, y, indices, x, w)
    expected = kernels.conv2d_pool_act_backward(*args)
    grad_x, grad_weight, none = kernels.conv2d_pool_act_backward(*args, bias_gradient=False)
    assert none is None
    assert_same_bits(grad_x, expected[0])
    assert_same_bits(grad_weight, expected[1])
    none, grad_weight, grad_bias = kernels.conv2d_pool_act_backward(*args, input_gradient=False)
    assert none is None
    none, alone, also_none = kernels.conv2d_pool_act_backward(
        *args, input_gradient=False, bias_gradient=False
    )
    assert none is None and also_none is None
    assert_same_bits(alone, grad_weight)
    if device in SCHEDULES:
        assert_same_bits(grad_weight, expected[1])
        assert_same_bits(grad_bias, expected[2])


def test_what_is_fused() -> None:
    conv = nn.Conv2d(1, 2, 3, rng=0)

    def count(*layers: nn.Layer) -> int:
        return len(fused([conv, *layers]))

    assert count(nn.MaxPool2d(2), nn.ReLU()) == 1
    assert count(nn.MaxPool2d((2, 3)), nn.Tanh()) == 1
    assert count(nn.MaxPool2d(2)) == 2
    assert count(nn.ReLU(), nn.MaxPool2d(2)) == 1
    assert count(nn.Tanh(), nn.MaxPool2d(2)) == 3  # tanh may round two values to a tie
    assert count(nn.ReLU(), nn.MaxPool2d(2, padding=1)) == 3
    assert count(nn.MaxPool2d(3, stride=2), nn.ReLU()) == 3
    assert count(nn.MaxPool2d(2, padding=1), nn.ReLU()) == 3
    assert count(nn.MaxPool2d(2, ceil_mode=True), nn.ReLU()) == 3
    assert count(nn.MaxPool2d(2, dilation=2), nn.ReLU()) == 3
    assert count(nn.AvgPool2d(2), nn.ReLU()) == 3


def test_a_weight_cache_sees_every_change(rng: np.random.Generator) -> None:
    """With a weight cache the bits stay the same.

    This holds if weights change in place, if the instruction set changes, and for shapes that do
    not use the cache.
    """
    before, names = testing.isa(), testing.isas()
    try:
        for name in ("lenet-conv2", "same-3x3", "lenet-conv1", "stride"):
            x, w, b, geometry = draw(name, rng)
            cache = kernels.conv2d_weight_cache(w.shape)
            for i, isa in enumerate(2 * names):
                testing.set_isa(isa)
                if i >= len(names):
                    w.flat[-1] = np.nextafter(w.flat[-1], F32(9), dtype=F32)
                y, indices = kernels.conv2d_pool_act(x, w, b, **geometry)
                args = (y, y, indices, x, w)
                expected = (y, indices, *kernels.conv2d_pool_act_backward(*args, **geometry))
                for _ in range(2):
                    got = (
                        *kernels.conv2d_pool_act(x, w, b, **geometry, weight_cache=cache),
                        *kernels.conv2d_pool_act_backward(*args, **geometry, weight_cache=cache),
                    )
                    for one, other in zip(got, expected, strict=True):
                        assert_same_bits(one, other, f"{name}, {isa}")
    finally:
        testing.set_isa(before)


@pytest.mark.slow
def test_a_weight_cache_is_right_after_other_threads_wrote_the_weight(
    rng: np.random.Generator,
) -> None:
    """A cache must not record weights as newer than those that it transformed.

    It would be wrong until the next change of the weights.
    """
    shape = (64, 64, 3, 3)
    x, *weights = (rng.standard_normal(s, F32) for s in ((1, 64, 6, 6), shape, shape))
    weight = weights[0].copy()
    settings: dict[str, Any] = {"algorithm": "winograd"}
    expected = kernels.conv2d_pool_act(x, weights[0], None, None, 2, **settings)
    for _ in range(300):
        cache, stop = kernels.conv2d_weight_cache(shape), threading.Event()

        def compute(cache: Array = cache, stop: threading.Event = stop) -> None:
            while not stop.is_set():
                kernels.conv2d_pool_act(x, weight, None, None, 2, **settings, weight_cache=cache)

        thread = threading.Thread(target=compute)
        thread.start()
        for other in (1, 0):
            weight[...] = weights[other]
            time.sleep(0)
        stop.set()
        thread.join()
        got = kernels.conv2d_pool_act(x, weight, None, None, 2, **settings, weight_cache=cache)
        assert_same_bits(got[0], expected[0], "after the last change")


def test_a_weight_cache_is_of_its_weight(rng: np.random.Generator) -> None:
    x, w, b, _ = draw("lenet-conv1", rng)
    cache = kernels.conv2d_weight_cache(w.shape)
    with pytest.raises(ValueError, match=r"weight_cache must have shape .*, got \(7,\)"):
        kernels.conv2d_pool_act(x, w, b, weight_cache=cache[:7].copy())
    with pytest.raises(ValueError, match=r"weight_cache.*overlap"):
        kernels.conv2d_pool_act(x, cache[: w.size].reshape(w.shape), b, weight_cache=cache)
    for wrong in ((1, 2, 3), (1, -2, 3, 3), (1 << 30, 1 << 30, 3, 3)):
        with pytest.raises(ValueError, match="weight_shape"):
            kernels.conv2d_weight_cache(wrong)
