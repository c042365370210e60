"""The least work of the kernels of a training step: their arithmetic and their bytes.

FLOPs are counted for matrix products and convolutions alone, two for each multiply-add. All other
kernels count by their bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from byhand._core import testing

# Number of rows of a patch of Winograd's algorithm, and of its columns.
SIZE = 8


class Transform(NamedTuple):
    """A matrix P of 8 rows, with which Winograd's algorithm transforms vectors.

    times, transposed : the number of additions, multiplications and multiply-adds in P x and P' y,
        where P' is the transposed matrix.
    """

    columns: int
    times: int
    transposed: int

    def both_axes(self) -> Transform:
        """Return the cost of transforming the columns and then the rows: P x P' and P' y P."""
        count = self.columns + SIZE
        return Transform(self.columns, count * self.times, count * self.transposed)


# The transforms of inputs, outputs and filters. The last two depend on the size of the filters.
INPUTS = Transform(8, 26, 26)
OUTPUTS = {3: Transform(6, 20, 20), 5: Transform(4, 14, 16)}
FILTERS = {3: Transform(3, 15, 15), 5: Transform(5, 21, 21)}


@dataclass(frozen=True)
class Cost:
    """The least work of a call.

    flops : operations of the direct algorithm.
    needed : operations of the algorithm that ran. An addition counts like a multiply-add, because
        it takes as long.
    bytes : bytes of all operands and results, each counted once.
    far : the part of `bytes` that is read from random places in an array of `span` bytes.
    """

    flops: int
    needed: int
    bytes: int
    algorithm: str = ""
    far: int = 0
    span: int = 0


@dataclass(frozen=True)
class Call:
    """A kernel call: the kernel, the shapes of its operands and its cost."""

    kernel: str
    shape: str
    cost: Cost


def call(name: str, *arguments: Any, **keywords: Any) -> Call:
    """Return the least work of a call of kernels.`name` with these arguments."""
    arrays = [a for a in (*arguments, *_several(keywords.get("out"))) if isinstance(a, np.ndarray)]
    moved = sum(array.nbytes for array in arrays)
    if name == "gather_images":
        images, index = arguments
        far = index.size * images[0].nbytes
        moved += far - images.nbytes
        shape = "x".join(map(str, keywords["out"].shape))
        return Call(name, shape, Cost(0, 0, moved, far=far, span=images.nbytes))
    if name in ("sgd_step", "adam_step"):
        parameters, _, *others = arguments
        moved += parameters.nbytes + sum(array.nbytes for array in others)  # read and written
    if name.endswith("_act_backward"):
        moved -= _not_read(arguments, keywords)
    if name.startswith("conv2d_pool_act"):
        convolution = _Convolution.of(name, arguments, keywords)
        cost = Cost(convolution.flops, convolution.needed(), moved, convolution.method)
        return Call(name, convolution.text, cost)
    operands, products = arguments[:1], 0
    if name.startswith("linear"):
        # The operands are x (N, in) and weight (out, in). Before them, backward has dy (N, out) and
        # the output.
        backward = name == "linear_act_backward"
        operands = arguments[2:4] if backward else arguments[:2]
        products = 1 + keywords["input_gradient"] if backward else 1
    flops = 2 * products * len(operands[0]) * operands[-1].size if products else 0
    shape = ", ".join("x".join(map(str, array.shape)) for array in operands)
    return Call(name, shape, Cost(flops, flops, moved))


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple) else (value,)


def _not_read(arguments: Sequence[Any], keywords: Mapping[str, Any]) -> int:
    """Return the bytes of the arguments that the call does not read.

    The weights are read only if the gradient of the input is computed, and the output only if there
    is an activation.
    """
    _, output, *_, weight, activation = arguments
    of_weight = 0 if keywords["input_gradient"] else weight.nbytes
    return of_weight + (output.nbytes if activation is None else 0)


@dataclass(frozen=True)
class _Convolution:
    """A convolution from (N, inputs, H, W) to (N, outputs, height, width), and a pooling after it.

    rows : the number of rows of an image that the outputs depend on.
    gradients : 0 in the forward pass. In the backward pass, 1 if only the gradient of the weights
        is computed, and 2 if that of the input is computed, too.
    maxima : the number of outputs that have a gradient, in all images.
    cached : whether the call has a weight cache.
    """

    method: str
    images: int
    inputs: int
    outputs: int
    filter_size: tuple[int, int]
    height: int
    width: int
    rows: int
    text: str
    gradients: int
    maxima: int
    cached: bool

    @classmethod
    def of(cls, name: str, arguments: Any, keywords: Mapping[str, Any]) -> _Convolution:
        """Return the convolution in a call of conv2d_pool_act or of its backward function."""
        backward = name.endswith("backward")
        x, weight = arguments[3:5] if backward else arguments[:2]
        gradients = 1 + keywords["input_gradient"] if backward else 0
        geometry = {key: keywords[key] for key in ("stride", "padding", "dilation", "groups")}
        filter_size = weight.shape[2:]
        height, width = (
            (size + sum(padding) - dilation * (taps - 1) - 1) // stride + 1
            for size, padding, dilation, taps, stride in zip(
                x.shape[2:],
                keywords["padding"],
                keywords["dilation"],
                filter_size,
                keywords["stride"],
                strict=True,
            )
        )
        outputs, inputs = weight.shape[:2]
        function = ("conv2d", "conv2d_backward_weight", "conv2d_backward_input")[gradients]
        return cls(
            method=testing.conv_method(function, x.shape, weight.shape, **geometry),
            images=len(x),
            inputs=inputs,
            outputs=outputs,
            filter_size=filter_size,
            height=height,
            width=width,
            rows=min(x.shape[2], height + filter_size[0] - 1),
            text=f"{inputs}->{outputs} {filter_size[0]}x{filter_size[1]} on {x.shape[2]}",
            gradients=gradients,
            maxima=arguments[0].size if backward else 0,
            cached=keywords.get("weight_cache") is not None,
        )

    @property
    def flops(self) -> int:
        positions = self.images * self.outputs * self.height * self.width
        return 2 * max(1, self.gradients) * positions * self.inputs * math.prod(self.filter_size)

    def needed(self) -> int:
        if self.method == "winograd":
            return 2 * (
                self.images * self._patches() * self._operations_per_patch()
                + self._filter_transforms()
            )
        if self.method == "winograd_rows":
            return 2 * (self.images * self._operations_along_rows() + self._filter_row_transforms())
        if self.gradients == 1:  # only the maxima have a gradient
            return 2 * self.maxima * self.inputs * math.prod(self.filter_size)
        return self.flops

    def _patches(self) -> int:
        step = OUTPUTS[self.filter_size[0]].columns
        return -(-self.height // step) * -(-self.width // step)

    def _operations_per_patch(self) -> int:
        """Return the operations per patch: products, and transforms of inputs and outputs."""
        inputs, outputs = INPUTS.both_axes(), OUTPUTS[self.filter_size[0]].both_axes()
        products = SIZE**2 * self.inputs * self.outputs
        of_output = outputs.times if self.gradients else outputs.transposed
        total = products + self.inputs * inputs.times + self.outputs * of_output
        if self.gradients == 2:
            total += products + self.inputs * inputs.transposed
        return total

    def _filter_transforms(self) -> int:
        """Return the operations that transform the filters (unless cached) and their gradient."""
        matrix = FILTERS[self.filter_size[0]].both_axes()
        count = matrix.transposed if self.gradients else matrix.times
        if self.gradients == 2 and not self.cached:
            count += matrix.times
        return count * self.inputs * self.outputs

    def _operations_along_rows(self) -> int:
        """Return the operations per image of the forward pass along rows.

        Each group of outputs in a row needs the transform of 8 inputs, the products with the
        filters, and the transform of the outputs.
        """
        outputs = OUTPUTS[self.filter_size[0]]
        products = SIZE * self.filter_size[0] * self.inputs
        column = self.rows * self.inputs * INPUTS.times
        column += self.height * self.outputs * (products + outputs.transposed)
        return -(-self.width // outputs.columns) * column

    def _filter_row_transforms(self) -> int:
        return self.inputs * self.outputs * self.filter_size[0] * FILTERS[self.filter_size[0]].times
