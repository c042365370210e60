"""The windows of pooling along one axis of an image, in the form that other libraries take.

ONNX and PyTorch have other rules than byhand for large paddings, for two sides with different
paddings and for `ceil_mode`. An exported model therefore first pads the image as far as its windows
reach, and then pools without padding. This gives the same windows everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from byhand.engine.memory import Shape
from byhand.nn.layers import AvgPool2d, MaxPool2d


class Windows(NamedTuple):
    """The windows of a pooling layer along one axis.

    Attributes
    ----------
    before, after : int
        The number of values to add at both ends of the axis, so that no window reaches beyond.
    inside : ndarray, shape (windows,), int64
        The number of values of each window that lie in the image.
    divisors : ndarray, shape (windows,), int64
        The number of values that each window of an average counts.
    """

    before: int
    after: int
    inside: NDArray[np.int64]
    divisors: NDArray[np.int64]


def windows_along(layer: MaxPool2d | AvgPool2d, shape: Shape, axis: int) -> Windows:
    """Return the windows of a pooling layer along one axis.

    Parameters
    ----------
    layer : MaxPool2d or AvgPool2d
        The layer.
    shape : (int, int, int)
        The shape (C, H, W) of one image's input.
    axis : {0, 1}
        0 for the windows along the height, 1 for those along the width.
    """
    size, count = shape[axis + 1], layer.output_shape(shape)[axis + 1]
    kernel, stride, dilation = layer.kernel_size[axis], layer.stride[axis], layer.dilation[axis]
    before, after = layer.padding[axis]
    covered = (count - 1) * stride + dilation * (kernel - 1) + 1
    first = np.arange(count) * stride - before
    # A window has the positions first + i * dilation. These are the first and the last i inside.
    begin = np.maximum(-(first // dilation), 0)
    end = np.minimum((size - 1 - first) // dilation, kernel - 1)
    inside = np.maximum(end - begin + 1, 0)
    divisors = inside
    if getattr(layer, "count_include_pad", False):
        # With ceil_mode, the last window may reach beyond the padding, where nothing counts.
        divisors = np.minimum(first + kernel, size + after) - first
    return Windows(before, max(covered - size - before, 0), inside, divisors)
