"""The grids of `byhand bench sweep`: for each kernel, the sizes at which it is measured."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from byhand.bench import numpy_page
from byhand.bench.cases import Case, after, labels, number, positives, shape, values
from byhand.bench.conv2d import Convolution
from byhand.bench.gemm import TRANSPOSES, Product

# 10 and 18 are no multiples of a vector.
SIZES = (1, 2, 3, 4, 8, 10, 16, 18, 32, 64, 128, 256, 512, 1024, 2048)
# Products and convolutions of more FLOP than this are left out.
MOST_WORK = 2 * 10**9
CHANNELS = (1, 3, 16, 20, 64, 256)
FILTERS = (1, 2, 3, 5, 7, 9, 11)
STRIDES = DILATIONS = (1, 2, 3, 4)
PLANES = (4, 7, 8, 10, 14, 28, 56, 112, 224)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
WINDOWS = (2, 3, 4, 5, 7, 8, 12, 14, 16, 28, 32, 56, 112, 224)
CLASSES = (2, 3, 10, 26, 62, 100, 256, 1000, 5000, 10_000, 50_000)
DIRECTIONS = {
    "conv2d": "forward",
    "conv2d_backward_input": "grad input",
    "conv2d_backward_weight": "grad weight",
}


@dataclass(frozen=True)
class Axis:
    name: str
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """A kernel over two sizes.

    name : the kernel, and the sizes that all points share.
    family : the part of the sweep to which the grid belongs.
    make : function of a row's and a column's size. It returns a case, or None if the kernel cannot
        take these sizes.
    """

    name: str
    family: str
    rows: Axis
    columns: Axis
    make: Callable[[int, int], Case | None]

    def points(self) -> Iterator[tuple[int, int, Case]]:
        """Yield (row, column, case): the numbers of the sizes, from 0, for each point."""
        for i, row in enumerate(self.rows.sizes):
            for j, column in enumerate(self.columns.sizes):
                case = self.make(row, column)
                if case is not None:
                    yield i, j, case


def _product(m: int, n: int, k: int, transposes: str) -> Case | None:
    return Product(m, n, k, transposes).case if 2 * m * n * k <= MOST_WORK else None


def _products() -> Iterator[Grid]:
    m, n, k = (Axis(name, SIZES) for name in "mnk")

    def grid(transposes: str, fixed: str, rows: Axis, columns: Axis) -> Grid:
        name, _, size = fixed.partition(" = ")

        def make(row: int, column: int) -> Case | None:
            sizes = {name: int(size), rows.name: row, columns.name: column}
            return _product(sizes["m"], sizes["n"], sizes["k"], transposes)

        return Grid(f"gemm {transposes}, {fixed}", "gemm", rows, columns, make)

    for transposes in TRANSPOSES:
        yield grid(transposes, "k = 256", m, n)
        yield grid(transposes, "n = 10", m, k)
    yield grid("NN", "m = 128", n, k)


# A function that makes a convolution of the sizes of a row and a column.
_Make = Callable[[int, int], Convolution]


def _geometries() -> Iterator[tuple[str, Axis, Axis, _Make]]:
    """Yield (sizes that all points share, rows, columns, function) for each grid of a direction."""
    filters = Axis("filter size", FILTERS)

    def channels(filter_size: int, size: int) -> tuple[str, Axis, Axis, _Make]:
        def make(inputs: int, outputs: int) -> Convolution:
            return Convolution(8, inputs, size, outputs, filter_size)

        sizes = f"8 images, {filter_size} x {filter_size} on {size} x {size}"
        return sizes, Axis("input channels", CHANNELS), Axis("output channels", CHANNELS), make

    yield channels(5, 12)
    yield channels(3, 16)
    yield channels(1, 28)
    yield (
        "4 images, 16 to 16 channels",
        filters,
        Axis("plane", PLANES),
        lambda f, size: Convolution(4, 16, size, 16, f, f // 2),
    )
    yield (
        "16 images, 32 to 64 channels, 28 x 28",
        filters,
        Axis("stride", STRIDES),
        lambda f, stride: Convolution(16, 32, 28, 64, f, f // 2, stride=stride),
    )
    yield (
        "16 images, 16 to 16 channels, 28 x 28",
        filters,
        Axis("dilation", DILATIONS),
        lambda f, d: Convolution(16, 16, 28, 16, f, f // 2 * d, dilation=d),
    )
    yield (
        "16 images, 3 x 3 on 14 x 14",
        Axis("groups", (1, 2, 4, 8, 16, 32, 64)),
        Axis("channels", (64, 128, 256)),
        lambda g, c: Convolution(16, c, 14, c, 3, 1, groups=g),
    )
    yield (
        "depthwise, 8 images, 14 x 14",
        filters,
        Axis("channels", CHANNELS),
        lambda f, c: Convolution(8, c, 14, c, f, f // 2, groups=c),
    )
    yield (
        "16 to 32 channels, 3 x 3",
        Axis("images", IMAGES),
        Axis("plane", (7, 8, 14, 28)),
        lambda n, size: Convolution(n, 16, size, 32, 3, 1),
    )
    yield (
        "20 to 50 channels, 5 x 5",
        Axis("images", IMAGES),
        Axis("plane", (8, 12, 14, 28)),
        lambda n, size: Convolution(n, 20, size, 50, 5),
    )


def _convolutions() -> Iterator[Grid]:
    def grid(op: str, sizes: str, rows: Axis, columns: Axis, make: _Make) -> Grid:
        def case(row: int, column: int) -> Case | None:
            convolution = make(row, column)
            if not convolution.exists or convolution.flops > MOST_WORK:
                return None
            return next(case for case in convolution.cases() if case.op == op)

        return Grid(f"conv2d {DIRECTIONS[op]}, {sizes}", "conv2d", rows, columns, case)

    for op in DIRECTIONS:
        for geometry in _geometries():
            yield grid(op, *geometry)


def _pooling(op: str, images: int, window: int, size: int, stride: int) -> Case | None:
    """Return a pooling of 16 channels."""
    if window > size:
        return None
    out = (size - window) // stride + 1
    x, y = values(images, 16, size, size), values(images, 16, out, out)
    taps = images * 16 * (out * out * window * window + size * size)
    name = f"{window}x{window} stride {stride} on N{images} 16x{size}x{size}"
    keywords = {} if stride == window else {"stride": stride}
    if op == "max_pool2d_backward":
        indices = after(
            lambda x: numpy_page.max_pool2d(x, window, **keywords)[1], images, 16, size, size
        )
        return Case(
            op,
            name,
            (y, indices, shape(images, 16, size, size)),
            fixed=True,
            taps=images * 16 * (out * out + size * size),
        )
    if op == "avg_pool2d_backward":
        makers = y, shape(images, 16, size, size), number(window)
        return Case(op, name, makers, keywords, fixed=True, taps=taps)
    return Case(op, name, (x, number(window)), keywords, fixed=True, taps=taps)


def _poolings() -> Iterator[Grid]:
    def without_overlap(op: str) -> Grid:
        return Grid(
            f"{op}, 8 images, 16 channels, stride = window",
            "pool2d",
            Axis("window", WINDOWS),
            Axis("plane", PLANES),
            lambda window, size: _pooling(op, 8, window, size, window),
        )

    def strided(op: str) -> Grid:
        return Grid(
            f"{op}, 8 images, 16 channels, 28 x 28",
            "pool2d",
            Axis("window", (2, 3, 4, 5, 7, 9, 14, 28)),
            Axis("stride", (1, 2, 3, 4, 7)),
            lambda window, stride: _pooling(op, 8, window, 28, stride),
        )

    for op in ("max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward"):
        yield without_overlap(op)
        if op != "max_pool2d_backward":  # PyTorch's needs the stride, which byhand's does not take
            yield strided(op)


def _norm(op: str, channels: int, size: int) -> Case:
    x, c, positive = values(32, channels, size, size), values(channels), positives(channels)
    name = f"N32 {channels}x{size}x{size}"
    if op == "batch_norm":
        return Case(op, name, (x, c, c, c, positive), {"training": True}, fixed=True)
    return Case(op, name, (x, x, c, c, positive), fixed=True)


def _norms() -> Iterator[Grid]:
    def grid(op: str) -> Grid:
        channels, planes = Axis("channels", CHANNELS), Axis("plane", (1, 4, 7, 8, 14, 28))
        return Grid(
            f"{op}, 32 images", "batch_norm", channels, planes, lambda c, s: _norm(op, c, s)
        )

    yield grid("batch_norm")
    yield grid("batch_norm_backward")


def _softmax(op: str, images: int, classes: int) -> Case | None:
    if images * classes > 10**7:
        return None
    x = values(images, classes)
    if op.endswith("_backward"):
        x = after(numpy_page.softmax, images, classes)
    makers = (x,) if op in ("softmax", "log_softmax") else (x, labels(classes, images))
    return Case(op, f"{images}x{classes}", makers, fixed=True)


def _softmaxes() -> Iterator[Grid]:
    def grid(op: str) -> Grid:
        images, classes = Axis("images", (1, 4, 32, 128, 1024)), Axis("classes", CLASSES)
        return Grid(op, "softmax", images, classes, lambda n, c: _softmax(op, n, c))

    yield grid("softmax")
    yield grid("log_softmax")
    yield grid("softmax_cross_entropy")
    yield grid("softmax_cross_entropy_backward")


@functools.cache
def grids() -> dict[str, Grid]:
    """Return every grid by its name."""
    families = (_products, _convolutions, _poolings, _norms, _softmaxes)
    return {grid.name: grid for family in families for grid in family()}


@functools.cache
def cases() -> dict[str, Case]:
    """Return the case of every point by its name. Some points of two grids are the same case."""
    return {case.name: case for grid in grids().values() for _, _, case in grid.points()}


FAMILIES = ("gemm", "conv2d", "pool2d", "batch_norm", "softmax")
