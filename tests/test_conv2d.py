"""Direct convolution and its gradients on every shape of shapes/conv2d.toml."""

from __future__ import annotations

from itertools import product
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import kernels
from calls import Array, Call, Fill
from guard import Fence
from ops import CONV, check, check_exact, conv_output_shape
from tolerance import assert_same_bits

every_shape = pytest.mark.parametrize("name", CONV)
F32 = np.float32


def calls(fill: Fill, shape: dict[str, Any]) -> list[Call]:
    """Return all four functions' calls for the same x, weight, bias and grad_output."""
    geometry = {key: value for key, value in shape.items() if key not in ("x", "weight")}
    geometry["algorithm"] = "direct"
    x, w = fill(*shape["x"]), fill(*shape["weight"])
    b, dy = fill(len(w)), fill(*conv_output_shape(**shape))
    return [
        Call("conv2d", (x, w, b), geometry),
        Call("conv2d_backward_input", (dy, w, x.shape), geometry),
        Call("conv2d_backward_weight", (dy, x, w.shape), geometry),
        Call("conv2d_backward_bias", (dy,), {}),
    ]


@every_shape
def test_integers_are_exact(name: str, isa: str, threads: int, rng: np.random.Generator) -> None:
    for call in calls(Fill(rng, integers=True), CONV[name]):
        check_exact(call, call.kernel())


@every_shape
def test_floats_are_within_the_bound(name: str, isa: str, rng: np.random.Generator) -> None:
    for call in calls(Fill(rng), CONV[name]):
        check(call, call.kernel())


def test_adjoints(isa: str, rng: np.random.Generator) -> None:
    """The gradients are adjoints.

    sum(conv(x, w) * dy) == sum(x * dX) == sum(w * dW), in exact integers.
    """

    def inner(a: Array, b: Array) -> int:
        return int(np.sum(a.astype(np.int64) * b.astype(np.int64)))

    for name, shape in CONV.items():
        forward, backward_input, backward_weight, _ = calls(Fill(rng, integers=True), shape)
        x, w, _ = forward.args
        dy = backward_input.args[0]
        y = kernels.conv2d(x, w, **forward.kwargs)
        assert inner(y, dy) == inner(x, backward_input.kernel()[0]), name
        assert inner(y, dy) == inner(w, backward_weight.kernel()[0]), name


@every_shape
def test_not_one_byte_outside(name: str, isa: str, rng: np.random.Generator) -> None:
    shape = {**CONV[name], "x": [min(CONV[name]["x"][0], 2), *CONV[name]["x"][1:]]}
    for call, side in product(calls(Fill(rng), shape), ("start", "end")):
        fence = Fence(side)
        assert_same_bits(call.run(fence, give_out=True)[0], call.kernel()[0], repr(call))
        assert fence.untouched(), call


def test_every_width(isa: str, rng: np.random.Generator) -> None:
    """Output rows of every length below and above the vector widths."""
    for width in (*range(1, 20), 31, 32, 33):
        shape = {"x": (2, 3, 4, width + 2), "weight": (7, 3, 3, 3)}
        for call in calls(Fill(rng, integers=True), shape):
            check_exact(call, call.kernel())


def test_every_number_of_channels(isa: str, rng: np.random.Generator) -> None:
    for channels in (*range(1, 10), 15, 16, 17):
        for shape in (
            {"x": (2, channels, 5, 6), "weight": (5, channels, 3, 2)},
            {"x": (2, 3, 5, 6), "weight": (channels, 3, 3, 2)},
        ):
            for call in calls(Fill(rng, integers=True), shape):
                check_exact(call, call.kernel())


def test_algorithms() -> None:
    x, w = np.ones((1, 1, 4, 4), F32), np.ones((1, 1, 3, 3), F32)
    assert_same_bits(kernels.conv2d(x, w, algorithm="direct"), kernels.conv2d(x, w))
    for wrong in ("fft", "", "Direct"):
        with pytest.raises(ValueError, match=f'algorithm.*"{wrong}"'):
            kernels.conv2d(x, w, algorithm=wrong)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bad_pixel_reaches_its_windows_only(value: float, isa: str) -> None:
    """A NaN or infinity spoils exactly the windows that see it, even if their weight is 0."""
    x, w = np.ones((2, 3, 9, 20), F32), np.ones((5, 3, 3, 3), F32)
    w[1] = 0
    x[1, 2, 4, 10] = value
    y = kernels.conv2d(x, w, padding=1, algorithm="direct")
    spoiled = np.zeros(y.shape, bool)
    spoiled[1, :, 3:6, 9:12] = True
    np.testing.assert_array_equal(~np.isfinite(y), spoiled)
    assert np.isnan(y[1, 1, 3:6, 9:12]).all()


@pytest.mark.parametrize(
    ("argument", "value", "shown"),
    [
        ("stride", 0, "0"),
        ("stride", (1, -2), "-2"),
        ("dilation", 0, "0"),
        ("padding", -1, "-1"),
        ("padding", ((0, 0), (0, -3)), "-3"),
        ("groups", 0, "0"),
        ("groups", 2, "2"),
        ("groups", -1, "-1"),
    ],
)
def test_bad_geometry(argument: str, value: Any, shown: str) -> None:
    x, w, dy = (np.ones(s, F32) for s in ((2, 3, 6, 6), (4, 3, 3, 3), (2, 4, 4, 4)))
    for call in (
        Call("conv2d", (x, w), {argument: value}),
        Call("conv2d_backward_input", (dy, w, x.shape), {argument: value}),
        Call("conv2d_backward_weight", (dy, x, w.shape), {argument: value}),
    ):
        with pytest.raises(ValueError, match=rf"\b{argument}\b.*{shown}"):
            call.kernel()


def test_a_filter_larger_than_the_image() -> None:
    with pytest.raises(ValueError, match=r"kernel.*\b7\b.*\b6\b"):
        kernels.conv2d(np.ones((1, 1, 6, 6), F32), np.ones((1, 1, 7, 1), F32))
    with pytest.raises(ValueError, match=r"kernel"):
        kernels.conv2d(np.ones((1, 1, 6, 6), F32), np.ones((1, 1, 3, 3), F32), dilation=3)


def test_gradients_have_the_output_shape() -> None:
    x, w, dy = (np.ones(s, F32) for s in ((2, 3, 6, 6), (4, 3, 3, 3), (2, 4, 4, 5)))
    with pytest.raises(ValueError, match=r"grad_output.*\(2, 4, 4, 4\).*\(2, 4, 4, 5\)"):
        kernels.conv2d_backward_input(dy, w, x.shape)
    with pytest.raises(ValueError, match=r"grad_output.*\(2, 4, 4, 4\).*\(2, 4, 4, 5\)"):
        kernels.conv2d_backward_weight(dy, x, w.shape)


@pytest.mark.parametrize("value", [np.inf, 1.0])
def test_padding_and_bands_do_not_change_bits(value: float) -> None:
    """The number of threads must not change which zeros of the padding are multiplied.

    It decides how an image is cut into bands. 0 times infinity is NaN, and -0 plus 0 is 0, so a
    product with a zero of the padding can change the result.
    """
    x = np.full((1, 1, 6, 6), -0.0 if value == 1 else 1, np.float32)
    weight = np.ones((1, 1, 3, 3), np.float32)
    weight[0, 0, 0] = value
    bias = np.array([-0.0], np.float32)
    results = set()
    for n in (1, 2, 3, 8):
        with byhand.num_threads(n):
            y = kernels.conv2d(x, weight, bias, padding=1)
            dx = kernels.conv2d_backward_input(x, weight, x.shape, padding=1)
        results.add((y.tobytes(), dx.tobytes()))
    assert len(results) == 1


def test_empty_arrays_take_no_time_and_no_memory() -> None:
    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    assert kernels.conv2d_backward_bias(zeros(2**31, 1, 0, 0)).tolist() == [0]
    big = (0, 1, 2**28, 2**26)  # the largest shape that is allowed
    assert (
        kernels.conv2d_backward_input(zeros(0, 1, 1, 1), zeros(1, 1, 1, 1), big, stride=2**31).shape
        == big
    )
    assert kernels.conv2d(zeros(0, 1, 2**26, 1), zeros(0, 1, 2**26, 1)).shape == (0, 0, 1, 1)
    with pytest.raises(ValueError, match=f"groups .* got {2**62}"):
        kernels.conv2d(zeros(1, 0, 2, 2), zeros(0, 0, 1, 1), groups=2**62)
