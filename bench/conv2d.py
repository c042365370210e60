"""The cases of `byhand bench conv2d`: convolutions and their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from byhand.bench.cases import Case, shape, values

DIRECTIONS = ("conv2d", "conv2d_backward_input", "conv2d_backward_weight")


@dataclass(frozen=True)
class Convolution:
    """A convolution of x (batch, channels, size, size) with square filters."""

    batch: int
    channels: int
    size: int
    outputs: int
    filter_size: int
    padding: int = 0
    stride: int = 1
    dilation: int = 1
    groups: int = 1

    @property
    def exists(self) -> bool:
        """Whether the filter fits into the padded image, and the groups are equal."""
        return self._out > 0 and self.channels % self.groups == 0 == self.outputs % self.groups

    @property
    def name(self) -> str:
        """Text such as "N128 20->50 5x5 on 12": 128 images of 20 channels, 12 x 12 pixels."""
        k = f"{self.filter_size}x{self.filter_size}"
        others = (
            ("pad", self.padding, 0),
            ("stride", self.stride, 1),
            ("dilation", self.dilation, 1),
            ("groups", self.groups, 1),
        )
        texts = "".join(f" {name} {value}" for name, value, usual in others if value != usual)
        return f"N{self.batch} {self.channels}->{self.outputs} {k}{texts} on {self.size}"

    @property
    def flops(self) -> int:
        """Floating-point operations of the direct algorithm, the same for forward and gradients."""
        taps = self.channels // self.groups * self.filter_size**2
        return 2 * self.batch * self.outputs * self._out**2 * taps

    @property
    def _out(self) -> int:
        span = self.dilation * (self.filter_size - 1) + 1
        return (self.size + 2 * self.padding - span) // self.stride + 1

    def cases(self) -> Iterator[Case]:
        """Yield the forward pass and the gradients with respect to the input and the weights."""
        x = self.batch, self.channels, self.size, self.size
        w = self.outputs, self.channels // self.groups, self.filter_size, self.filter_size
        dy = values(self.batch, self.outputs, self._out, self._out)
        arguments = (
            (values(*x), values(*w), values(self.outputs)),
            (dy, values(*w), shape(*x)),
            (dy, values(*x), shape(*w)),
        )
        others = {"stride": self.stride, "dilation": self.dilation, "groups": self.groups}
        keywords = {"padding": self.padding}
        keywords |= {name: value for name, value in others.items() if value != 1}
        for op, makers in zip(DIRECTIONS, arguments, strict=True):
            yield Case(op, self.name, makers, keywords, self.flops, fixed=True)


def _random(count: int) -> Iterator[Convolution]:
    """Yield random convolutions of 1 to 100 MFLOP."""
    rng = np.random.default_rng(0)
    while count > 0:
        batch, channels, outputs = (int(2**v) for v in rng.uniform(0, 7, 3))
        size, filter_size = int(rng.integers(5, 40)), int(rng.choice([1, 2, 3, 5, 7]))
        if filter_size > size:
            continue
        convolution = Convolution(
            batch, channels, size, outputs, filter_size, int(rng.integers(0, filter_size // 2 + 1))
        )
        if 1e6 <= convolution.flops <= 1e8:
            count -= 1
            yield convolution


GROUPS: dict[str, tuple[Convolution, ...]] = {
    "baselines": (
        Convolution(128, 1, 28, 20, 5),
        Convolution(128, 20, 12, 50, 5),
        Convolution(100, 20, 14, 20, 5, 2),
        Convolution(4, 64, 56, 64, 3, 1),
        Convolution(4, 256, 14, 256, 3, 1),
        Convolution(4, 256, 56, 64, 1),
        Convolution(128, 3, 32, 32, 3, 1),
    ),
    "random": tuple(_random(20)),
}
CASES = {
    case.name: case
    for group in GROUPS.values()
    for convolution in group
    for case in convolution.cases()
}
