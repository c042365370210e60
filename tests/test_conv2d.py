"""Direct convolution and its gradients on every shape of shapes/conv2d.toml."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import kernels
from calls import Array, Call, Fill
from devices import SCHEDULES
from guard import Fence
from ops import CONV, check, check_exact, conv_output_shape
from tolerance import assert_same_bits

every_shape = pytest.mark.parametrize("name", CONV)
F32 = np.float32
# Large shapes, and what is smaller on CUDA, because the emulator is slow.
SMALLER_ON_CUDA = {
    "lenet-conv1": {"x": (1, 1, 10, 9)},
    "lenet-conv2": {"x": (1, 20, 6, 7), "weight": (17, 20, 5, 5)},
    "same-5x5": {"x": (1, 3, 10, 14)},
    "depthwise": {"x": (2, 5, 9, 8), "weight": (5, 1, 3, 3), "groups": 5},
    "bands": {"x": (1, 2, 4, 70)},
    "blocks-of-channels": {"x": (1, 43, 5, 6)},
    "pointwise-sums": {"x": (2, 18, 9, 13)},
    "small-planes": {"x": (10, 16, 4, 4)},
    "windows-of-taps": {"x": (1, 4, 9, 8), "weight": (36, 4, 7, 5)},
    "windows-with-equal-stride-and-dilation": {"x": (1, 2, 9, 11), "weight": (5, 2, 3, 4)},
    "taps-in-the-padding": {"x": (1, 20, 3, 4), "weight": (3, 20, 2, 2)},
    "dilation-of-channels": {"x": (1, 2, 28, 28), "weight": (2, 2, 11, 11)},
}
# Numbers beyond int, and the edges of the tiles of CUDA. A tile has 128 columns, and 16 rows or 64.
# A step has 8 depths, and a table has the addresses of 64 depths, or of 128 if there are 64 rows.
EDGES: dict[str, dict[str, Any]] = {
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
    "16 of both channels": {"x": (1, 16, 3, 4), "weight": (16, 16, 2, 2)},
    "17 of both channels": {"x": (1, 17, 3, 4), "weight": (17, 17, 2, 2)},
    "more than 64 of both channels": {"x": (1, 65, 2, 3), "weight": (66, 65, 1, 1)},
    "64 outputs and one more": {"x": (1, 1, 3, 3), "weight": (65, 1, 2, 2)},
    "128 windows": {"x": (2, 1, 1, 64), "weight": (2, 1, 1, 1)},
    "129 windows": {"x": (3, 1, 1, 43), "weight": (2, 1, 1, 1)},
    "129 windows of 17 channels": {"x": (3, 17, 1, 43), "weight": (17, 17, 1, 1)},
    "129 taps": {"x": (1, 43, 1, 6), "weight": (3, 43, 1, 3)},
    "129 taps, 17 outputs": {"x": (1, 43, 1, 6), "weight": (17, 43, 1, 3)},
    "17 channels, 135 depths of the input gradient": {"x": (1, 17, 2, 5), "weight": (45, 17, 1, 3)},
    "two groups of 65 outputs": {"x": (1, 4, 1, 34), "weight": (130, 2, 1, 2), "groups": 2},
    "a group for each output channel": {
        "x": (2, 3, 4, 4),
        "weight": (3, 1, 3, 3),
        "groups": 3,
        "padding": ((0, 1), (2, 0)),
    },
}


def shape_on(device: str, name: str) -> dict[str, Any]:
    return {**CONV[name], **(SMALLER_ON_CUDA.get(name, {}) if device in SCHEDULES else {})}


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
def test_integers_are_exact(name: str, device: str, threads: int, rng: np.random.Generator) -> None:
    for call in calls(Fill(rng, integers=True), shape_on(device, name)):
        check_exact(call, call.kernel())


@every_shape
def test_floats_are_within_the_bound(name: str, isa: str, rng: np.random.Generator) -> None:
    for call in calls(Fill(rng), CONV[name]):
        check(call, call.kernel())


@pytest.mark.parametrize("name", ["lenet-conv2", "dilation-stride", "groups"])
def test_floats_of_cuda_are_within_the_bound(
    name: str, cuda: str, rng: np.random.Generator
) -> None:
    for call in calls(Fill(rng), shape_on(cuda, name)):
        check(call, call.kernel())


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str, device: str, rng: np.random.Generator) -> None:
    for call in calls(Fill(rng, integers=True), EDGES[name]):
        check_exact(call, call.kernel())


@pytest.mark.parametrize(("windows", "outputs"), [(255, 1), (256, 1), (257, 17), (1700, 1)])
def test_parts_of_the_weight_gradient(
    windows: int, outputs: int, device: str, rng: np.random.Generator
) -> None:
    """CUDA adds up one part to seven parts, the last of which is shorter than the others."""
    shape = {"x": (1, 1, 1, windows), "weight": (outputs, 1, 1, 1)}
    call = calls(Fill(rng, integers=True), shape)[2]
    np.testing.assert_array_equal(call.kernel()[0], call.expected()[0])


@pytest.mark.parametrize("plane", [(1, 1), (1, 1023), (32, 32), (25, 41), (1, 5000)])
@pytest.mark.parametrize("batch", [1, 3, 600])
def test_bias_gradient(
    batch: int, plane: tuple[int, int], device: str, rng: np.random.Generator
) -> None:
    """Planes below, at and above the 1024 threads of a block of CUDA."""
    if batch * prod(plane) > 10**5:
        batch = 7
    dy = Fill(rng, integers=True)(batch, 3, *plane)
    np.testing.assert_array_equal(kernels.conv2d_backward_bias(dy), dy.sum(axis=(0, 2, 3)))


def test_the_bias_gradient_of_cuda_has_double_precision(cuda: str) -> None:
    dy = F32([2**24, 1, 1, -(2**24)]).reshape(1, 1, 1, 4)
    assert kernels.conv2d_backward_bias(dy) == 2


@pytest.mark.parametrize("groups", [1, 3])
def test_without_bias(groups: int, device: str, rng: np.random.Generator) -> None:
    fill = Fill(rng, integers=True)
    x, w = fill(2, 9, 13, 11), fill(15, 9 // groups, 3, 3)
    call = Call("conv2d", (x, w), {"padding": 1, "groups": groups, "algorithm": "direct"})
    check_exact(call, call.kernel())


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


def test_every_height_of_tiles_of_channels(isa: str, rng: np.random.Generator) -> None:
    """Weight gradients of padded images: tiles of 4 to 16 channels, and planes of 2 KB."""
    for channels, (x, filters) in product(range(4, 34), (((2, 5, 6), 8), ((1, 16, 32), 16))):
        shape = {"x": (x[0], channels, *x[1:]), "weight": (filters, channels, 3, 3)}
        shape |= {"padding": 1, "algorithm": "direct"}
        with byhand.num_threads(1):
            for call in calls(Fill(rng, integers=True), shape):
                check_exact(call, call.kernel())


def test_every_length_of_lines_of_channels(isa: str, rng: np.random.Generator) -> None:
    """A last panel of one vector with every instruction set, by tiles of up to 16 outputs."""
    for outputs, taps in product(range(6, 36), (2, 3, 4)):
        shape = {"x": (1, 5, outputs + taps - 1, 3), "weight": (36, 5, taps, 2)}
        with byhand.num_threads(1):
            for call in calls(Fill(rng, integers=True), shape)[:2]:
                check_exact(call, call.kernel())


@pytest.mark.parametrize("filter_size", [(1, 5), (5, 1), (1, 7), (6, 1)])
def test_windows_of_filters_with_one_row_or_column(
    filter_size: tuple[int, int], isa: str, rng: np.random.Generator
) -> None:
    """The taps slide along one axis only, which may be the shorter one."""
    for plane in ((12, 12), (11, 17), (17, 11)):
        shape = {"x": (2, 6, *plane), "weight": (36, 6, *filter_size)}
        for padding in (0, (filter_size[0] // 2, filter_size[1] // 2)):
            for call in calls(Fill(rng, integers=True), shape | {"padding": padding}):
                check_exact(call, call.kernel())


def test_blocks_of_images_in_a_strided_input_gradient(rng: np.random.Generator) -> None:
    """Two blocks, of two images and of one, have the bits of single images."""
    dy = rng.standard_normal((3, 1, 100, 100), np.float32)
    weight = rng.standard_normal((1, 50, 1, 2), np.float32)
    size = (50, 100, 400)
    whole = kernels.conv2d_backward_input(dy, weight, (3, *size), stride=(1, 4))
    for image, expected in zip(dy, whole, strict=True):
        one = kernels.conv2d_backward_input(image[None], weight, (1, *size), stride=(1, 4))
        assert_same_bits(one[0], expected)


def test_every_height_of_depthwise_filters(isa: str, rng: np.random.Generator) -> None:
    """Filters of fewer and more rows than a block of taps, on blocks of outputs of every height."""
    for taps, rows in product(range(2, 17), range(1, 9)):
        shape = {"x": (1, 2, rows + taps - 1, 9), "weight": (2, 1, taps, 4), "groups": 2}
        for call in calls(Fill(rng, integers=True), shape):
            check_exact(call, call.kernel())


@pytest.mark.parametrize("stride", [2, 3, 4, 5])
def test_input_gradients_at_every_stride(stride: int, isa: str, rng: np.random.Generator) -> None:
    """Planes with and without a remainder, phases with and without taps, short and long rows."""
    for width, taps, padding in product((7, 12, 40, 41), (1, 2, 3, 5), (0, 1)):
        shape = {"x": (2, 3, 6, width), "weight": (4, 3, 2, taps)}
        shape |= {"stride": (2, stride), "padding": padding}
        for call in calls(Fill(rng, integers=True), shape):
            check_exact(call, call.kernel())
        x, weight = np.ones(shape["x"], F32), np.ones(shape["weight"], F32)
        geometry = {"stride": shape["stride"], "padding": padding}
        dy = np.ones_like(kernels.conv2d(x, weight, **geometry))
        dx = kernels.conv2d_backward_input(dy, weight, x.shape, **geometry)
        kernels.conv2d_backward_input(
            dy, weight, x.shape, **geometry, out=(out := np.full(x.shape, np.nan, F32))
        )
        np.testing.assert_array_equal(out, dx)


def test_algorithms() -> None:
    x, w = np.ones((1, 1, 4, 4), F32), np.ones((1, 1, 3, 3), F32)
    assert_same_bits(kernels.conv2d(x, w, algorithm="direct"), kernels.conv2d(x, w))
    for wrong in ("fft", "", "Direct"):
        with pytest.raises(ValueError, match=f'algorithm.*"{wrong}"'):
            kernels.conv2d(x, w, algorithm=wrong)


def test_cuda_has_only_the_direct_algorithm(cuda: str) -> None:
    x, w, dy = (np.ones(s, F32) for s in ((1, 1, 4, 4), (1, 1, 3, 3), (1, 1, 2, 2)))
    assert_same_bits(kernels.conv2d(x, w, algorithm="direct"), kernels.conv2d(x, w))
    for call in (
        Call("conv2d", (x, w), {"algorithm": "winograd"}),
        Call("conv2d_backward_input", (dy, w, x.shape), {"algorithm": "winograd"}),
        Call("conv2d_backward_weight", (dy, x, w.shape), {"algorithm": "winograd"}),
    ):
        with pytest.raises(ValueError, match=r"algorithm.*CUDA has only the direct algorithm"):
            call.kernel()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bad_pixel_reaches_its_windows_only(value: float, device: str) -> None:
    """A NaN or infinity spoils exactly the windows that see it, even if their weight is 0."""
    x, w = np.ones((2, 3, 9, 20), F32), np.ones((5, 3, 3, 3), F32)
    w[1] = 0
    x[1, 2, 4, 10] = value
    y = kernels.conv2d(x, w, padding=1, algorithm="direct")
    spoiled = np.zeros(y.shape, bool)
    spoiled[1, :, 3:6, 9:12] = True
    np.testing.assert_array_equal(~np.isfinite(y), spoiled)
    assert np.isnan(y[1, 1, 3:6, 9:12]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_gradient_reaches_its_pixels_and_weights_only(value: float, device: str) -> None:
    dy, w, x = np.ones((2, 3, 3, 4), F32), np.ones((3, 2, 2, 2), F32), np.ones((2, 2, 6, 8), F32)
    dy[1, 2, 1, 3] = value
    settings: dict[str, Any] = {"stride": 2, "algorithm": "direct"}
    dx = kernels.conv2d_backward_input(dy, w, x.shape, **settings)
    spoiled = np.zeros(dx.shape, bool)
    spoiled[1, :, 2:4, 6:8] = True
    np.testing.assert_array_equal(~np.isfinite(dx), spoiled)
    dw = kernels.conv2d_backward_weight(dy, x, w.shape, **settings)
    np.testing.assert_array_equal(~np.isfinite(dw).all(axis=(1, 2, 3)), [False, False, True])
    db = kernels.conv2d_backward_bias(dy)
    np.testing.assert_array_equal(db, [24, 24, 23 + value])


def test_cuda_multiplies_an_infinite_weight_by_the_padding(cuda: str) -> None:
    """On all four sides, as cuda/ops.h says. Taps that miss a pixel's phase are not used."""
    x, w = np.ones((1, 1, 4, 4), F32), np.ones((1, 1, 3, 3), F32)
    w[0, 0, 0, 0] = np.inf
    nan = np.zeros((4, 4), bool)
    nan[0], nan[:, 0] = True, True
    y = kernels.conv2d(x, w, padding=1)[0, 0]
    np.testing.assert_array_equal(np.isnan(y), nan)
    np.testing.assert_array_equal(np.isinf(y), ~nan)
    dx = kernels.conv2d_backward_input(x, w, x.shape, padding=1)
    np.testing.assert_array_equal(np.isnan(dx[0, 0]), nan[::-1, ::-1])
    dx = kernels.conv2d_backward_input(x[:, :, :2, :2], w, (1, 1, 5, 5), stride=2)
    expected = np.ones((5, 5))
    expected[::2, ::2] = [[np.inf, np.inf, np.nan], [np.inf, np.inf, np.nan], [np.nan] * 3]
    np.testing.assert_array_equal(np.isfinite(dx[0, 0]), np.isfinite(expected))
    np.testing.assert_array_equal(np.isnan(dx[0, 0]), np.isnan(expected))


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
    product with a zero of the padding can change the result. The image is so large that threads
    share it. Two filters are computed by rows, 32 and 36 by channels. With 36, the last panel has
    one vector.
    """
    for channels, filters, size in ((16, 2, 100), (32, 32, 24), (36, 36, 20)):
        x = np.full((1, channels, size, size), -0.0 if value == 1 else 1, np.float32)
        weight = np.ones((filters, channels, 5, 5), np.float32)
        weight[:, :, :2] = value
        bias = np.full(filters, -0.0, np.float32)
        dy = np.full((1, filters, size, size), x[0, 0, 0, 0], np.float32)
        results = set()
        for n in (1, 2, 3, 8):
            with byhand.num_threads(n):
                y = kernels.conv2d(x, weight, bias, padding=2, algorithm="direct")
                dx = kernels.conv2d_backward_input(
                    dy, weight, x.shape, padding=2, algorithm="direct"
                )
            results.add((y.tobytes(), dx.tobytes()))
        assert len(results) == 1


@pytest.mark.parametrize(("channels", "filters", "size"), [(16, 32, 7), (36, 36, 12)])
def test_an_image_has_the_bits_of_its_batch(
    channels: int, filters: int, size: int, isa: str, rng: np.random.Generator
) -> None:
    """Several images per task, and a single one."""
    x = rng.standard_normal((70, channels, size, size), np.float32)
    weight = rng.standard_normal((filters, channels, 3, 3), np.float32)
    dy = rng.standard_normal((70, filters, size, size), np.float32)
    for n in (1, 3):
        with byhand.num_threads(n):
            y = kernels.conv2d(x, weight, padding=1, algorithm="direct")
            dx = kernels.conv2d_backward_input(dy, weight, x.shape, padding=1, algorithm="direct")
            for i in (0, 41, 69):
                one = slice(i, i + 1)
                assert_same_bits(
                    kernels.conv2d(x[one], weight, padding=1, algorithm="direct"), y[one]
                )
                assert_same_bits(
                    kernels.conv2d_backward_input(
                        dy[one], weight, x[one].shape, padding=1, algorithm="direct"
                    ),
                    dx[one],
                )


@pytest.mark.parametrize("plane", [(20, 20), (40, 3)])
def test_threads_do_not_change_the_bits_of_windows(
    plane: tuple[int, int], isa: str, rng: np.random.Generator
) -> None:
    """The last panel has one vector. Bands cut its vertical lines, which then get lower tiles."""
    x, dy = (rng.standard_normal((1, 36, *plane), np.float32) for _ in range(2))
    weight = rng.standard_normal((36, 36, 3, 3), np.float32)
    results = set()
    for n in (1, 2, 3, 8):
        with byhand.num_threads(n):
            y = kernels.conv2d(x, weight, padding=1, algorithm="direct")
            dx = kernels.conv2d_backward_input(dy, weight, x.shape, padding=1, algorithm="direct")
        results.add((y.tobytes(), dx.tobytes()))
    assert len(results) == 1


def test_threads_do_not_change_the_bits_of_weight_gradients_by_taps(
    isa: str, rng: np.random.Generator
) -> None:
    """The threads share the channels of a padded image."""
    x, dy = (rng.standard_normal((2, c, 28, 28), np.float32) for c in (64, 32))
    results = set()
    for n in (1, 2, 3, 4):
        with byhand.num_threads(n):
            dw = kernels.conv2d_backward_weight(
                dy, x, (32, 64, 3, 3), padding=1, algorithm="direct"
            )
        results.add(dw.tobytes())
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
def test_empty_arrays(shape: dict[str, Any], device: str, rng: np.random.Generator) -> None:
    for call in calls(Fill(rng, integers=True), shape):
        np.testing.assert_array_equal(call.kernel()[0], call.expected()[0])


@pytest.mark.parametrize("algorithm", ["auto", "direct", "winograd"])
@pytest.mark.parametrize("plane", [(0, 3), (3, 0)])
def test_an_image_without_pixels(algorithm: str, plane: tuple[int, int], isa: str) -> None:
    x, weight = np.ones((2, 4, *plane), F32), np.ones((5, 4, 3, 3), F32)
    bias = np.arange(5, dtype=F32)
    geometry: dict[str, Any] = {"padding": 2, "algorithm": algorithm}
    y = kernels.conv2d(x, weight, bias, **geometry)
    assert y.size > 0
    np.testing.assert_array_equal(y, np.broadcast_to(bias[:, None, None], y.shape))
    assert kernels.conv2d_backward_input(y, weight, x.shape, **geometry).shape == x.shape
    assert not kernels.conv2d_backward_weight(y, x, weight.shape, **geometry).any()


def test_an_empty_plane_has_no_bias_gradient(device: str) -> None:
    assert kernels.conv2d_backward_bias(np.ones((3, 4, 0, 3), F32)).tolist() == [0] * 4


def test_sizes_beyond_the_kernels_of_cuda(cuda: str) -> None:
    """The kernels compute rows and columns as int."""
    x, w, dy = np.ones((1, 1, 1, 4), F32), np.ones((1, 1, 1, 1), F32), np.ones((1, 1, 2, 4), F32)
    geometry = {"padding": ((2**31, 0), (0, 0)), "stride": (2**31, 1)}
    for call in (
        Call("conv2d", (x, w), geometry),
        Call("conv2d_backward_input", (dy, w, x.shape), geometry),
        Call("conv2d_backward_weight", (dy, x, w.shape), geometry),
    ):
        with pytest.raises(ValueError, match=r"padded image must .* 2\*\*28 .* 2147483649 x 4"):
            call.kernel()
