"""What the kernels of a training step have to do at least: their arithmetic and their bytes.

For a batch of N images. FLOPs are those of matrix products and convolutions alone, a multiply-add
two of them; all else is counted as bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Winograd's algorithm: a patch of 8 x 8 takes 64 products for each pair of channels, and so many
# additions, multiplications or multiply-adds for a transform of one channel. By the size of the
# kernel where it depends on that; those of the kernels are of one pair of channels.
PATCH = 8
OF_INPUTS = 416
OF_OUTPUTS = {3: 280, 5: 168}
OF_KERNELS = {3: 165, 5: 273}


@dataclass(frozen=True)
class Cost:
    """flops: of the direct algorithm. needed: of the one that ran, an addition as long as a
    multiply-add and counted like one. bytes: of every operand and result, once. far: those of them
    that come out of `span` bytes, anywhere."""

    flops: int
    needed: int
    bytes: int
    algorithm: str = ""
    far: int = 0
    span: int = 0


@dataclass(frozen=True)
class Call:
    """A kernel as it was called: what it did, and on what."""

    kernel: str
    shape: str
    cost: Cost


def call(name: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Call:
    """Of a call of kernels.NAME. Calls it again where only its results tell what it does."""
    arrays = [a for a in (*arguments, *_several(keywords.get("out"))) if isinstance(a, np.ndarray)]
    moved = sum(array.nbytes for array in arrays)
    if name == "gather_images":
        images, index = arguments
        far = index.size * images[0].nbytes
        moved += far - images.nbytes
        shape = "x".join(map(str, keywords["out"].shape))
        return Call(name, shape, Cost(0, 0, moved, far=far, span=images.nbytes))
    if name == "sgd_step":
        parameters, _, velocity = arguments
        moved += parameters.nbytes + velocity.nbytes  # read and written
    if name.startswith("conv2d"):
        convolution = _Convolution.of(name, arguments, keywords)
        algorithm = _algorithm(function, arguments, keywords)
        needed = convolution.needed(algorithm)
        return Call(name, convolution.text, Cost(convolution.flops, needed, moved, algorithm))
    flops = 0
    if name.startswith("linear") and not name.endswith("bias"):
        # x (N, in), weight (out, in) forward; of dy (N, out), weight or x backward.
        first, second = arguments[:2]
        flops = 2 * second.size * (first.shape[1] if name.endswith("weight") else len(first))
    operands = arguments[:2] if flops else arguments[:1]
    shape = ", ".join("x".join(map(str, array.shape)) for array in operands)
    return Call(name, shape, Cost(flops, flops, moved))


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple) else (value,)


def _algorithm(function: Callable[..., Any], arguments: Any, keywords: Mapping[str, Any]) -> str:
    """What "auto" took: the bits of its results tell."""
    rest = {name: value for name, value in keywords.items() if name != "out"}
    try:
        of_winograd = _several(function(*arguments, **rest, algorithm="winograd"))
    except ValueError:  # it does not take this shape
        return "direct"
    chosen = _several(function(*arguments, **rest))
    same = all(map(np.array_equal, chosen, of_winograd))
    return "winograd" if same else "direct"


@dataclass(frozen=True)
class _Convolution:
    """Of images (N, inputs, H, W) to outputs (N, outputs, height, width), with a pooling behind.

    gradients: none forward; grad weight backward, and grad input where it is wanted. maxima: of all
    images, those of the outputs that have a gradient.
    """

    images: int
    inputs: int
    outputs: int
    kernel: tuple[int, int]
    height: int
    width: int
    text: str
    gradients: int
    maxima: int

    @classmethod
    def of(cls, name: str, arguments: Any, keywords: Mapping[str, Any]) -> _Convolution:
        """Of conv2d_pool_act and its backward."""
        backward = name.endswith("backward")
        x, weight = arguments[3:5] if backward else arguments[:2]
        kernel = weight.shape[2:]
        height, width = (
            (size + sum(padding) - dilation * (taps - 1) - 1) // stride + 1
            for size, padding, dilation, taps, stride in zip(
                x.shape[2:],
                keywords["padding"],
                keywords["dilation"],
                kernel,
                keywords["stride"],
                strict=True,
            )
        )
        outputs, inputs = weight.shape[:2]
        return cls(
            images=len(x),
            inputs=inputs,
            outputs=outputs,
            kernel=kernel,
            height=height,
            width=width,
            text=f"{inputs}->{outputs} {kernel[0]}x{kernel[1]} on {x.shape[2]}",
            gradients=1 + keywords["input_gradient"] if backward else 0,
            maxima=arguments[0].size if backward else 0,
        )

    @property
    def flops(self) -> int:
        positions = self.images * self.outputs * self.height * self.width
        return 2 * max(1, self.gradients) * positions * self.inputs * math.prod(self.kernel)

    def needed(self, algorithm: str) -> int:
        if algorithm == "winograd":
            return 2 * (self.images * self._patches() * self._of_a_patch() + self._of_kernels())
        if self.gradients == 1:  # nothing but the maxima has a gradient
            return 2 * self.maxima * self.inputs * math.prod(self.kernel)
        return self.flops

    def _patches(self) -> int:
        step = PATCH + 1 - self.kernel[0]
        return -(-self.height // step) * -(-self.width // step)

    def _of_a_patch(self) -> int:
        """Transforms of inputs and outputs, and products; grad input has both once more."""
        products = PATCH**2 * self.inputs * self.outputs
        inputs, outputs = OF_INPUTS * self.inputs, OF_OUTPUTS[self.kernel[0]] * self.outputs
        return max(1, self.gradients) * (products + inputs) + outputs

    def _of_kernels(self) -> int:
        """Of the weights, and of the gradient back to theirs."""
        transforms = self.gradients if self.gradients else 1
        return transforms * OF_KERNELS[self.kernel[0]] * self.inputs * self.outputs
