"""Take one value of a convolution's output apart into the numbers that it was computed from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand.engine.memory import Array
from byhand.nn import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    MaxPool2d,
    ReLU,
    Sigmoid,
    Tanh,
)

from .trace import Step

# After a convolution, these layers are followed to the value that the next layer sees.
ACTIVATIONS = (ReLU, Tanh, Sigmoid)
POOLS = (MaxPool2d, AvgPool2d)
FOLLOWED = (*ACTIVATIONS, *POOLS, BatchNorm2d, Dropout)


def stages(steps: Sequence[Step]) -> list[list[Step]]:
    """Find the convolutions of a network, each with the layers after it that `explain` follows.

    Layers of a user's own class are not followed, because they may compute anything.

    Parameters
    ----------
    steps : sequence of Step
        The layers of the network.

    Returns
    -------
    list of list of Step
        One list for each convolution. It begins with the convolution.
    """
    found: list[list[Step]] = []
    is_open = False
    for step in steps:
        if type(step.layer) is Conv2d:
            found.append([step])
            is_open = True
        elif is_open and type(step.layer) in FOLLOWED:
            found[-1].append(step)
        else:
            is_open = False
    return found


def explain(steps: Sequence[Step], channel: int, row: int, column: int) -> dict[str, Any]:
    """Show how one value of a convolution's output came about, and what becomes of it.

    Parameters
    ----------
    steps : sequence of Step
        The convolution, and the layers after it that `stages` found.
    channel, row, column : int
        The position of the value in the output of the convolution.

    Returns
    -------
    dict of JSON values
        ``patch``, ``filter`` and ``products`` are lists of shape (channels, height, width).
        ``channel_sums`` has the sum of the products of each channel, and ``sum`` that of all
        products. With ``bias`` it gives ``total``, which differs only by rounding from ``value``,
        the number that the kernel computed. ``first_channel`` is the number of the first input
        channel in the patch. ``top`` and ``left`` are the position of the patch in the input,
        ``spacing`` is the distance between its neighbouring values, and ``after`` has one
        dictionary for each layer after the convolution. A number that is not finite is None, and
        so is a value of a pooling window in the padding.
    """
    conv = steps[0].layer
    assert isinstance(conv, Conv2d)
    weight = conv.weight.data[channel]
    first = channel // (conv.out_channels // conv.groups) * len(weight)
    (top, left), size = _corner(conv, row, column), weight.shape[1:]
    planes = steps[0].x[first : first + len(weight)]
    patch = _window(planes, (top, left), size, conv.dilation, 0)
    products = patch.astype(np.float64) * weight
    bias = 0.0 if conv.bias is None else float(conv.bias.data[channel])
    explained = {
        "first_channel": first,
        "top": top,
        "left": left,
        "spacing": list(conv.dilation),
        "patch": patch.tolist(),
        "filter": weight.tolist(),
        "products": products.tolist(),
        "channel_sums": products.sum(axis=(1, 2)).tolist(),
        "sum": float(products.sum()),
        "bias": bias,
        "total": float(products.sum()) + bias,
        "value": float(steps[0].y[channel, row, column]),
        "after": _after(steps[1:], channel, row, column),
    }
    return dict(_json(explained))


def _json(value: Any) -> Any:
    """Replace numbers that are not finite, which JSON cannot express, by None."""
    if isinstance(value, dict):
        return {key: _json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _corner(layer: Any, row: int, column: int) -> tuple[int, int]:
    """Return the position in the input of the window that belongs to an output position.

    It is negative if the window begins in the padding.
    """
    (above, _), (before, _) = layer.padding
    return row * layer.stride[0] - above, column * layer.stride[1] - before


def _window(
    planes: Array,
    corner: tuple[int, int],
    size: Sequence[int],
    dilation: Sequence[int],
    outside: float,
) -> NDArray[np.float32]:
    """Return the values of a window in planes (C, H, W), and `outside` for the padding."""
    out = np.full((len(planes), *size), outside, np.float32)
    rows, columns = (corner[axis] + dilation[axis] * np.arange(size[axis]) for axis in (0, 1))
    inside_y = (rows >= 0) & (rows < planes.shape[1])
    inside_x = (columns >= 0) & (columns < planes.shape[2])
    inside = np.ix_(range(len(planes)), inside_y, inside_x)
    out[inside] = planes[:, rows[inside_y]][:, :, columns[inside_x]]
    return out


def _after(steps: Sequence[Step], channel: int, row: int, column: int) -> list[dict[str, Any]]:
    """Follow a value through the layers after the convolution."""
    found = []
    for step in steps:
        layer = step.layer
        shown: dict[str, Any] = {"layer": repr(layer)}
        value = float(step.x[channel, row, column])
        if isinstance(layer, POOLS):
            window = _pool_window(step, channel, row, column)
            if window is None:
                found.append({**shown, "kind": "unused"})
                break
            row, column = window["row"], window["column"]
            shown |= window
        elif type(layer) is BatchNorm2d:
            shown |= {"kind": "norm", **_normalization(layer, channel)}
        elif isinstance(layer, ACTIVATIONS):
            shown["kind"] = type(layer).__name__.lower()
        else:  # Dropout is the identity in inference
            continue
        result = float(step.y[channel, row, column])
        found.append({**shown, "input": value, "value": result})
    return found


def _normalization(layer: BatchNorm2d, channel: int) -> dict[str, float]:
    names = ("running_mean", "running_var", "weight", "bias")
    values = {name: float(getattr(layer, name).data[channel]) for name in names}
    return {**values, "eps": layer.eps}


def _pool_window(step: Step, channel: int, row: int, column: int) -> dict[str, Any] | None:
    """Return a pooling window that contains an input position, or None if there is none.

    If windows overlap and the value is the maximum of one of them, this window is returned.
    ``chosen`` is the position in the window of the value that was given.
    """
    pool = step.layer
    assert isinstance(pool, POOLS)
    plane = step.x[channel : channel + 1]
    windows = []
    for y in _covering(pool, 0, row, step.y.shape[1]):
        for x in _covering(pool, 1, column, step.y.shape[2]):
            corner = _corner(pool, y, x)
            values = _window(plane, corner, pool.kernel_size, pool.dilation, np.nan)[0]
            place = [
                (position - start) // gap
                for position, start, gap in zip((row, column), corner, pool.dilation, strict=True)
            ]
            best = bool(values[tuple(place)] == np.nanmax(values))
            windows.append((best, y, x, corner, values, place))
    if not windows:
        return None
    best, y, x, corner, values, place = max(windows, key=lambda window: window[0])
    return {
        "kind": "max" if isinstance(pool, MaxPool2d) else "mean",
        "window": values.tolist(),
        "top": corner[0],
        "left": corner[1],
        "row": y,
        "column": x,
        "chosen": place,
        "is_largest": best,
    }


def _covering(pool: Any, axis: int, position: int, count: int) -> list[int]:
    """Return the numbers of the windows along an axis that contain an input position."""
    found = []
    for number in range(count):
        offset = position - (number * pool.stride[axis] - pool.padding[axis][0])
        gap = pool.dilation[axis]
        if offset >= 0 and offset % gap == 0 and offset // gap < pool.kernel_size[axis]:
            found.append(number)
    return found
