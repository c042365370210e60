"""The cases of `byhand bench gemm`: cubes, tall and flat shapes, networks, random shapes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from byhand.bench.cases import Case, Maker, values
from byhand.models import Model, lenet5, mlp
from byhand.nn import Conv2d, Linear
from numpy.typing import NDArray

Array = NDArray[Any]

LEGEND = (
    "shape: m x n x k, and a letter for A and for B. T is a transposed view, N is not.\n"
    "error: the largest |C - exact C| / (|A| |B|) of an element, in units of 2^-24."
)
BATCHES = (1, 32, 128)
# The first letter is for A, the second for B. T means that the operand is the transposed view of an
# array, N that it is the array itself.
TRANSPOSES = ("NN", "NT", "TN", "TT")


@dataclass(frozen=True)
class Product:
    """C (m, n) = A (m, k) B (k, n).

    of, batch : the layer that computes this product, with its direction, and the batch size.
    """

    m: int
    n: int
    k: int
    transposes: str = "NN"
    of: str = ""
    batch: int | None = None

    @property
    def case(self) -> Case:
        a = _operand(self.m, self.k, self.transposes[0])
        b = _operand(self.k, self.n, self.transposes[1])
        shape = f"{self.m}x{self.n}x{self.k} {self.transposes}"
        return Case("gemm", shape, (a, b), flops=2 * self.m * self.n * self.k, fixed=True)


def _operand(rows: int, columns: int, transpose: str) -> Maker:
    if transpose == "N":
        return values(rows, columns)
    stored = values(columns, rows)
    return lambda rng, n: stored(rng, n).T


def _network(model: Model) -> Iterator[Product]:
    """Yield every matrix product of the forward and the backward pass.

    A convolution is the product of its im2col matrix and the filters. This matrix has one row for
    each output pixel: the inputs in the pixel's window. With x (rows, inputs) and weight (outputs,
    inputs), the products are y = x weight.T, grad weight = grad y.T x and, except in the first
    layer, grad x = grad y weight.
    """
    shape, first = model.input_shape, True
    for layer in model.layers():
        shape = layer.output_shape(shape)
        if not isinstance(layer, Conv2d | Linear):
            continue
        outputs, inputs = shape[0], math.prod(layer.weight.shape[1:])
        name = f"{type(layer).__name__.lower()} {inputs}-{outputs}"
        for batch in BATCHES:
            rows = batch * math.prod(shape[1:])
            yield Product(rows, outputs, inputs, "NT", f"{name} forward", batch)
            yield Product(outputs, inputs, rows, "TN", f"{name} grad weight", batch)
            if not first:
                yield Product(rows, inputs, outputs, "NN", f"{name} grad input", batch)
        first = False


def exact(product: Product) -> list[Array]:
    """Return C and |A| |B| in float64. `error` divides the error of C by |A| |B|."""
    a, b = (argument.astype(np.float64) for argument in product.case.arguments(1))
    return [a @ b, np.abs(a) @ np.abs(b)]


def error(results: Sequence[Array], reference: Sequence[Array]) -> float:
    """Return the largest |C - exact C| / (|A| |B|) of an element, in units of 2^-24.

    `reference` is the result of `exact`. The error is infinite if the shape differs.
    """
    (c, *_), (want, magnitude) = results, reference
    if c.shape != want.shape:
        return math.inf
    return float((np.abs(c - want) / magnitude).max() * 2**24)


def bound(product: Product) -> int:
    """Return the largest `error` that a product may have, for any order of the additions."""
    return product.k + 3


def _random(count: int, largest: int) -> Iterator[Product]:
    sizes = np.random.default_rng(0).integers(1, largest + 1, (count, 3)).tolist()
    for (m, n, k), transposes in zip(sizes, itertools.cycle(TRANSPOSES), strict=False):
        yield Product(m, n, k, transposes)


GROUPS: dict[str, tuple[Product, ...]] = {
    "cubes": tuple(Product(n, n, n) for n in (8, 16, 32, 64, 128, 256, 512, 1024, 2048)),
    "baselines": (
        Product(128, 10, 784),
        Product(128, 128, 784),
        Product(8192, 50, 500),
        Product(50, 500, 8192),
        Product(73_728, 20, 25),
    ),
    "mlp": tuple(_network(mlp())),
    "lenet5": tuple(_network(lenet5())),
    "random": tuple(_random(100, 600)),
}
# This product measures the overhead of a call.
CALL = Product(1, 1, 1)
# These products are not timed. Their rounding errors are measured.
ERRORS = tuple(
    Product(m, n, k, transposes)
    for (k, (m, n)), transposes in zip(
        itertools.product((1, 10, 100, 784, 8192), ((1, 64), (64, 10), (96, 80))),
        itertools.cycle(TRANSPOSES),
        strict=False,
    )
)
SECTIONS = {**GROUPS, "call": (CALL,), "error": ERRORS}
CASES = {product.case.name: product.case for products in SECTIONS.values() for product in products}
