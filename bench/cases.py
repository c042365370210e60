"""The cases of `byhand bench kernels`: every kernel on the shapes of LeNet-5 and the MLP."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from byhand.bench import numpy_page

# A function that makes an argument from a random generator and the batch size.
Maker = Callable[[np.random.Generator, int], Any]
N = -1  # stands for the batch size in a shape
CLASSES = 10
# These kernels return nothing. Their results are the arguments that they change.
IN_PLACE = frozenset({"sgd_step", "adam_step"})


@dataclass(frozen=True)
class Case:
    """A call of the kernel `op`. `makers` make its positional arguments.

    flops : floating-point operations of matrix products and convolutions per image; 0 for the other
        kernels, whose speed is limited by memory.
    fixed : whether the work is the same for every batch size. If so, `flops` counts a whole call
        instead of an image.
    taps : the number of values that a pooling visits, or 0. The sweep expects the time to grow with
        it.
    """

    op: str
    shape: str
    makers: tuple[Maker, ...]
    keywords: Mapping[str, float] = field(default_factory=dict)
    flops: int = 0
    fixed: bool = False
    taps: int = 0

    @property
    def name(self) -> str:
        return f"{self.op} {self.shape}"

    def arguments(self, batch: int) -> tuple[Any, ...]:
        """Return the arguments: the same values in every process."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return tuple(make(rng, batch) for make in self.makers)

    def work(self, batch: int) -> int:
        return self.flops * (1 if self.fixed else batch)


def values(*shape: int) -> Maker:
    """Make standard normal float32 values."""
    return lambda rng, n: rng.standard_normal(_sized(shape, n), np.float32)


def after(function: Callable[[Any], Any], *shape: int) -> Maker:
    """Make the result of a forward pass: `function` of standard normal values."""
    return lambda rng, n: function(values(*shape)(rng, n))


def shape(*sizes: int) -> Maker:
    return lambda _, n: _sized(sizes, n)


def positives(*shape: int) -> Maker:
    """Make float32 values from 0.5 to 1.5."""
    return lambda rng, n: rng.random(_sized(shape, n), np.float32) + np.float32(0.5)


def labels(classes: int, count: int = N) -> Maker:
    return lambda rng, n: rng.integers(0, classes, _sized((count,), n))


def number(value: int) -> Maker:
    return lambda _, __: value


def _sized(shape: tuple[int, ...], n: int) -> tuple[int, ...]:
    return tuple(n if size == N else size for size in shape)


def _products() -> Iterator[Case]:
    for n in (256, 1024):
        square = values(n, n)
        yield Case("gemm", f"{n}x{n}x{n}", (square, square), flops=2 * n**3, fixed=True)
    for name, i, o in (
        ("MLP 784-128", 784, 128),
        ("softmax 784-10", 784, 10),
        ("LeNet 800-128", 800, 128),
    ):
        x, w, b, y = values(N, i), values(o, i), values(o), values(N, o)
        yield Case("linear", name, (x, w, b), flops=2 * i * o)
        yield Case("linear_backward_input", name, (y, w), flops=2 * i * o)
        yield Case("linear_backward_weight", name, (y, x), flops=2 * i * o)
        yield Case("linear_backward_bias", name, (y,))
        if o > CLASSES:
            yield Case("linear_act", name, (x, w, b), flops=2 * i * o)
            yield Case("linear_act_backward", name, (y, y, x, w), flops=4 * i * o)


def _convolutions() -> Iterator[Case]:
    for name, c, size, o, k in (("LeNet conv1", 1, 28, 20, 5), ("LeNet conv2", 20, 12, 50, 5)):
        out = size - k + 1
        flops = 2 * o * out * out * c * k * k
        x, w, y = values(N, c, size, size), values(o, c, k, k), values(N, o, out, out)
        yield Case("conv2d", name, (x, w, values(o)), flops=flops)
        if c > 1:  # the first layer's input, the images, needs no gradient
            arguments = y, w, shape(N, c, size, size)
            yield Case("conv2d_backward_input", name, arguments, flops=flops)
        yield Case("conv2d_backward_weight", name, (y, x, shape(o, c, k, k)), flops=flops)
        yield Case("conv2d_backward_bias", name, (y,))
        yield Case("conv2d_pool_act", name, (x, w, values(o)), flops=flops)
        if c > 1:
            pooled = values(N, o, out // 2, out // 2)
            indices = after(lambda x: numpy_page.max_pool2d(x, 2)[1], N, o, out, out)
            makers = pooled, pooled, indices, x, w
            yield Case("conv2d_pool_act_backward", name, makers, flops=2 * flops)


def _norms() -> Iterator[Case]:
    for name, c, size in (("LeNet 20x24x24", 20, 24), ("LeNet 50x8x8", 50, 8)):
        x, one, positive = values(N, c, size, size), values(c), positives(c)
        yield Case("batch_norm", name, (x, one, one, one, positive), {"training": True})
        yield Case("batch_norm_backward", name, (x, x, one, one, positive))


def _pools() -> Iterator[Case]:
    for name, c, size in (("LeNet pool1", 20, 24), ("LeNet pool2", 50, 8)):
        whole = N, c, size, size
        x, y = values(*whole), values(N, c, size // 2, size // 2)
        indices = after(lambda x: numpy_page.max_pool2d(x, 2)[1], *whole)
        yield Case("max_pool2d", name, (x, number(2)))
        yield Case("max_pool2d_backward", name, (y, indices, shape(*whole)))
        yield Case("avg_pool2d", name, (x, number(2)))
        yield Case("avg_pool2d_backward", name, (y, shape(*whole), number(2)))


def _elements() -> Iterator[Case]:
    for name, sizes in (("LeNet 20x12x12", (N, 20, 12, 12)), ("MLP 128", (N, 128))):
        for op in ("relu", "tanh", "sigmoid"):
            y = after(getattr(numpy_page, op), *sizes)
            yield Case(op, name, (values(*sizes),))
            yield Case(f"{op}_backward", name, (values(*sizes), y))
        yield Case("add", name, (values(*sizes), values(*sizes)))


def _losses() -> Iterator[Case]:
    name, x = f"{CLASSES} classes", values(N, CLASSES)
    yield Case("softmax", name, (x,))
    yield Case("log_softmax", name, (x,))
    yield Case("softmax_cross_entropy", name, (x, labels(CLASSES)))
    probabilities = after(numpy_page.softmax, N, CLASSES)
    yield Case("softmax_cross_entropy_backward", name, (probabilities, labels(CLASSES)))
    yield Case("count_correct", name, (x, labels(CLASSES)))
    yield Case("squared_error", name, (x, x))
    yield Case("squared_error_backward", name, (x, x))


def _steps() -> Iterator[Case]:
    count = 10_000
    images: Maker = lambda rng, _: rng.integers(0, 256, (count, 1, 28, 28), np.uint8)  # noqa: E731
    index: Maker = lambda rng, n: rng.permutation(count)[:n]  # noqa: E731
    yield Case("gather_images", "MNIST", (images, index), {"scale": 1 / 127.5, "offset": -1.0})
    sgd = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
    for name, size in (("softmax 7,850", 7_850), ("LeNet 129,388", 129_388)):
        yield Case("sgd_step", name, (values(size),) * 3, sgd, fixed=True)
        moments = values(size), positives(size)
        yield Case("adam_step", name, (values(size),) * 2 + moments, {"step": 3}, fixed=True)


CASES = {
    case.name: case
    for family in (_products, _convolutions, _norms, _pools, _elements, _losses, _steps)
    for case in sorted(family(), key=lambda case: case.op)
}
OPS = tuple(dict.fromkeys(case.op for case in CASES.values()))
