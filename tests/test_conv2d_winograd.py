"""Winograd's convolution: its matrices are exact, and its results are within their bound."""

from __future__ import annotations

import functools
import importlib.util
import zlib
from fractions import Fraction
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import byhand
import numpy as np
import pytest
import reference
from byhand import kernels
from byhand._core import testing
from calls import Array, Call, Fill
from guard import Fence
from ops import conv_output_shape
from tolerance import assert_same_bits

F32 = np.float32
SOURCES = Path(__file__).parent.parent / "csrc/cpu/kernels"
# The bound in docs/winograd.md: the Euclidean norm of the error, divided by the norm of the same
# convolution of absolute values. On random data the test divides by the norm of the result itself,
# which is smaller, and the bound still holds.
BOUND = 2e-5
DIRECTIONS = ("conv2d", "conv2d_backward_input", "conv2d_backward_weight")
# x, weight, padding. They have all kinds of edges of patches, of blocks of patches and of tiles.
SHAPES = {
    "lenet-conv2": ((3, 20, 12, 12), (50, 20, 5, 5), 0),
    "one-output": ((1, 1, 5, 5), (1, 1, 5, 5), 0),
    "one-patch": ((2, 3, 8, 8), (4, 3, 3, 3), 0),
    "padding": ((2, 5, 13, 10), (6, 5, 5, 5), 2),
    "asymmetric-padding": ((2, 3, 7, 9), (5, 3, 3, 3), ((0, 3), (2, 1))),
    "patches-in-padding": ((1, 2, 1, 9), (3, 2, 3, 3), ((9, 0), (0, 17))),
    "one-row": ((2, 4, 1, 30), (5, 4, 3, 3), 3),
    "many-channels": ((1, 130, 7, 7), (67, 130, 3, 3), 1),
    "one-image": ((1, 40, 40, 40), (24, 40, 3, 3), 1),
    "large-weights": ((5, 110, 25, 13), (90, 110, 3, 3), 1),
    "many-patches": ((2, 1, 70, 51), (2, 1, 3, 3), 1),
    "many-images": ((67, 2, 5, 6), (3, 2, 5, 5), 1),
    "along-rows": ((33, 1, 9, 14), (9, 1, 5, 5), 0),
    "along-rows-padding": ((32, 3, 10, 9), (17, 3, 3, 3), ((0, 3), (2, 1))),
    "along-rows-bands": ((5, 1, 17, 28), (20, 1, 5, 5), ((2, 0), (1, 0))),
    "along-rows-threads": ((64, 1, 28, 28), (20, 1, 5, 5), 2),
    "work-for-threads": ((40, 20, 12, 12), (50, 20, 5, 5), 0),
}
every_shape = pytest.mark.parametrize("name", SHAPES)


@functools.cache
def calls(name: str, algorithm: str = "winograd") -> list[Call]:
    """Return the calls of a shape. They are cached, because the reference is slow."""
    fill = Fill(np.random.default_rng(zlib.crc32(name.encode())))
    x_shape, w_shape, padding = SHAPES[name]
    geometry: dict[str, Any] = {"padding": padding, "algorithm": algorithm}
    x, w, b = fill(*x_shape), fill(*w_shape), fill(w_shape[0])
    dy = fill(*conv_output_shape(x_shape, w_shape, padding=padding))
    arguments = ((x, w, b), (dy, w, x.shape), (dy, x, w.shape))
    return [Call(op, args, geometry) for op, args in zip(DIRECTIONS, arguments, strict=True)]


def error(got: Array, exact: Array) -> float:
    return float(np.linalg.norm((got - exact).ravel()) / np.linalg.norm(exact.ravel()))


@pytest.fixture(scope="module")
def matrices() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "matrices", SOURCES / "conv2d_winograd_matrices.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_header_is_what_the_script_makes(matrices: ModuleType) -> None:
    assert (SOURCES / "conv2d_winograd_matrices.h").read_text() == matrices.header()


@pytest.mark.parametrize("r", [3, 5])
def test_matrices_are_exact(r: int, matrices: ModuleType) -> None:
    """y = A' (G w * B x) holds exactly, as fractions, for every pair of unit vectors.

    Both sides are linear in w and in x, so it holds for all w and x.
    """
    n = matrices.SIZE
    m = n + 1 - r
    g, b, a = matrices.weights(r), matrices.inputs(), matrices.powers(m)
    for i in range(r):
        for j in range(n):
            products = [g[p][i] * b[p][j] for p in range(n)]
            y = [sum(a[p][k] * products[p] for p in range(n)) for k in range(m)]
            assert y == [Fraction(int(j == k + i)) for k in range(m)]


@pytest.mark.parametrize("name", ["weights", "inputs", "powers"])
def test_rows_of_a_point_and_its_negative(name: str, matrices: ModuleType) -> None:
    """The rows of a point and its negative are equal in even columns and opposite in odd ones.

    The kernels rely on this.
    """
    rows = getattr(matrices, name)(*(() if name == "inputs" else (5,)))
    for i in (1, 3, 5):
        assert rows[i + 1] == [-v if j % 2 else v for j, v in enumerate(rows[i])]


@every_shape
def test_within_the_bound(name: str, isa: str) -> None:
    for call in calls(name):
        assert error(call.kernel()[0], call.expected()[0]) < BOUND, call


@pytest.mark.parametrize("r", [3, 5])
def test_error_where_terms_cancel(r: int, isa: str, rng: np.random.Generator) -> None:
    """The error is measured against the absolute values, because the terms cancel here.

    The filters add up to 0, and the planes have nearly one colour.
    """
    x = 0.7 + 1e-3 * rng.standard_normal((2, 4, 20, 20), F32)
    w = rng.standard_normal((3, 4, r, r), F32)
    w -= w.mean(axis=(1, 2, 3), keepdims=True)
    dy = 1 + 1e-3 * rng.standard_normal((2, 3, 21 - r, 21 - r), F32)
    for call in (
        Call("conv2d", (x, w), {"algorithm": "winograd"}),
        Call("conv2d_backward_input", (dy, w, x.shape), {"algorithm": "winograd"}),
        Call("conv2d_backward_weight", (dy, x - x.mean(), w.shape), {"algorithm": "winograd"}),
    ):
        apart = np.linalg.norm(call.kernel()[0] - call.expected()[0])
        assert apart < BOUND * np.linalg.norm(call.sizes()[0]), call


def test_random_geometry_is_within_the_bound(rng: np.random.Generator) -> None:
    for _ in range(40):
        r = int(rng.choice([3, 5]))
        n, c, k = (int(v) for v in rng.integers(1, 9, 3))
        top, bottom, left, right = (int(v) for v in rng.integers(0, 4, 4))
        h, w = (int(v) for v in rng.integers(r, 24, 2))
        geometry = {"padding": ((top, bottom), (left, right)), "algorithm": "winograd"}
        x, weight = Fill(rng)(n, c, h, w), Fill(rng)(k, c, r, r)
        dy = Fill(rng)(*conv_output_shape(x.shape, weight.shape, **geometry))
        for call in (
            Call("conv2d", (x, weight), geometry),
            Call("conv2d_backward_input", (dy, weight, x.shape), geometry),
            Call("conv2d_backward_weight", (dy, x, weight.shape), geometry),
        ):
            assert error(call.kernel()[0], call.expected()[0]) < BOUND, call


@every_shape
def test_same_bits_for_any_number_of_threads(name: str, isa: str) -> None:
    for call in calls(name):
        results = []
        for n in (1, 2, 3, 4):
            with byhand.num_threads(n):
                results.append(call.kernel()[0].tobytes())
        assert len(set(results)) == 1, call


@every_shape
def test_not_one_byte_outside(name: str, isa: str) -> None:
    for call, side in product(calls(name), ("start", "end")):
        fence = Fence(side)
        assert_same_bits(call.run(fence, give_out=True)[0], call.kernel()[0], repr(call))
        assert fence.untouched(), call


@pytest.mark.parametrize("name", ["padding", "large-weights"])
def test_gradients_overwrite_what_was_there(name: str, isa: str) -> None:
    """The gradient of the input is summed up in `out`, and the old values of `out` do not count."""
    for call in calls(name):
        out = np.full(call.expected()[0].shape, np.nan, F32)
        getattr(kernels, call.op)(*call.args, **call.kwargs, out=out)
        assert_same_bits(out, call.kernel()[0], repr(call))


@pytest.mark.parametrize("op", DIRECTIONS)
@pytest.mark.parametrize(
    ("kernel", "geometry", "shown"),
    [
        ((3, 3), {"stride": 2}, r"stride \(2, 2\)"),
        ((5, 5), {"dilation": (1, 2)}, r"dilation \(1, 2\)"),
        ((3, 3), {"groups": 2}, "groups 2"),
        ((4, 4), {}, "4 x 4"),
        ((3, 5), {}, "3 x 5"),
    ],
)
def test_shapes_that_it_cannot_take(
    op: str, kernel: tuple[int, int], geometry: dict[str, Any], shown: str
) -> None:
    x = np.ones((2, 4, 12, 12), F32)
    w = np.ones((4, 4 // geometry.get("groups", 1), *kernel), F32)
    dy = np.ones(conv_output_shape(x.shape, w.shape, **geometry), F32)
    arguments = dict(zip(DIRECTIONS, ((x, w), (dy, w, x.shape), (dy, x, w.shape)), strict=True))
    with pytest.raises(ValueError, match=f"algorithm.*{shown}"):
        getattr(kernels, op)(*arguments[op], **geometry, algorithm="winograd")


def test_an_empty_batch_is_no_excuse() -> None:
    x, w = np.ones((0, 4, 12, 12), F32), np.ones((4, 4, 3, 3), F32)
    for kernel in (kernels.conv2d, kernels.conv2d_pool_act):
        with pytest.raises(ValueError, match="algorithm"):
            kernel(x, w, stride=2, algorithm="winograd")


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 0, 8, 8)])
def test_empty(shape: tuple[int, ...]) -> None:
    x, w, b = np.ones(shape, F32), np.ones((4, shape[1], 3, 3), F32), np.arange(4, dtype=F32)
    y = kernels.conv2d(x, w, b, algorithm="winograd")
    assert_same_bits(y, reference.conv2d(x, w, b).astype(F32))
    dy = np.ones(y.shape, F32)
    dx = kernels.conv2d_backward_input(dy, w, x.shape, algorithm="winograd")
    dw = kernels.conv2d_backward_weight(dy, x, w.shape, algorithm="winograd")
    assert dx.shape == x.shape
    assert dw.shape == w.shape and not dw.any()


# If there are few channels, the best method depends on whether the images fill the lanes, and so on
# the instruction set. For these shapes it is the same on every instruction set.
CHOSEN = [
    ("conv2d", (2, 20, 12, 12), (50, 20, 5, 5), "winograd"),  # LeNet-5's second layer
    ("conv2d", (2, 64, 14, 14), (64, 64, 3, 3), "winograd"),
    ("conv2d", (64, 1, 28, 28), (20, 1, 5, 5), "winograd_rows"),  # its first; 64 fill all lanes
    ("conv2d", (2, 64, 5, 5), (64, 64, 3, 3), "direct"),  # the output is a quarter of a patch
    ("conv2d_backward_input", (2, 1, 28, 28), (20, 1, 5, 5), "winograd"),
    ("conv2d_backward_weight", (2, 1, 28, 28), (20, 1, 3, 3), "direct"),
]


@pytest.mark.parametrize(("op", "x", "weight", "method"), CHOSEN)
def test_auto_takes_the_faster_algorithm(
    op: str, x: tuple[int, ...], weight: tuple[int, ...], method: str, isa: str
) -> None:
    assert testing.conv_method(op, x, weight) == method


def test_auto_is_the_algorithm_that_it_names(isa: str, rng: np.random.Generator) -> None:
    """ "auto" gives the same bits as the algorithm that `conv_method` names."""
    for images, channels in product((1, 2, 5, 16), (1, 2, 3, 8)):
        x_shape, w_shape = (images, channels, 28, 28), (20, channels, 5, 5)
        x, w, dy = (rng.standard_normal(s, F32) for s in (x_shape, w_shape, (images, 20, 24, 24)))
        arguments = ((x, w), (dy, w, x_shape), (dy, x, w_shape))
        for op, args in zip(DIRECTIONS, arguments, strict=True):
            method = testing.conv_method(op, x_shape, w_shape)
            algorithm = method.removesuffix("_rows")
            assert method == testing.conv_method(op, x_shape, w_shape, algorithm=algorithm)
            kernel = getattr(kernels, op)
            assert_same_bits(kernel(*args), kernel(*args, algorithm=algorithm), f"{op}: {method}")


def test_every_method_is_within_the_bound_somewhere(isa: str) -> None:
    """The shapes of test_within_the_bound use both of Winograd's methods on this CPU."""
    reached = {
        testing.conv_method("conv2d", x, w, padding=padding, algorithm="winograd")
        for x, w, padding in SHAPES.values()
    }
    assert reached == {"winograd", "winograd_rows"}


def test_method_of_an_unknown_function() -> None:
    with pytest.raises(ValueError, match=r'function must be "conv2d", .*, got "conv3d"'):
        testing.conv_method("conv3d", (1, 1, 5, 5), (1, 1, 5, 5))


def test_a_bad_pixel_reaches_its_patches(isa: str) -> None:
    """A NaN spoils every window that sees it, and nothing outside the patches that contain it."""
    x, w = np.ones((2, 3, 20, 20), F32), np.ones((5, 3, 3, 3), F32)
    x[1, 2, 9, 3] = np.nan
    bad = np.isnan(kernels.conv2d(x, w, algorithm="winograd"))
    assert bad[1, :, 7:10, 1:4].all()
    outside = np.ones((18, 18), bool)
    outside[6:12, :6] = False
    assert not bad[0].any() and not bad[1][:, outside].any()
