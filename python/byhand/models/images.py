"""Checks of arrays of images, and the advice that error messages give."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand.checks import channels_last, integer, listed, with_batch
from byhand.engine.memory import Shape


def image_shape(value: Any, name: str = "input_shape") -> Shape:
    """Check that a value is the shape of an image.

    Parameters
    ----------
    value : (int, int, int)
        The channels, the height and the width.
    name : str
        The name of the argument.

    Returns
    -------
    (int, int, int)
        `value`.

    Raises
    ------
    ValueError
        If `value` is not three positive integers.
    """
    sizes = listed(value)
    try:
        channels, height, width = (integer(name, size, 1) for size in sizes)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be (channels, height, width), not {value!r}") from None
    return channels, height, width


def check_images(images: Any, input_shape: Shape) -> NDArray[Any]:
    """Check that an array holds images of a certain shape.

    Parameters
    ----------
    images : ndarray, uint8, or float32 in [0, 1]
        The images. The axis of a single channel may be missing.
    input_shape : tuple of int
        The channels, the height and the width that each image must have.

    Returns
    -------
    ndarray, shape (N, channels, height, width), uint8 or float32
        The images, contiguous.

    Raises
    ------
    TypeError, ValueError
        If the dtype, the shape or the range of `images` is wrong.
    """
    if isinstance(images, np.ma.MaskedArray):
        raise TypeError("images must not be a masked array: fill the masked values, or use .data")
    if not isinstance(images, np.ndarray) or images.dtype not in (np.uint8, np.float32):
        form = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
        raise TypeError(
            f"images must be a NumPy array of uint8, or of float32 in [0, 1], not {form}"
            + (stack_advice(images) or "; predict also takes paths and PIL images")
        )
    images = np.asarray(images)  # a subclass of ndarray may define other comparisons
    # The axis of a single channel may be missing.
    fitting = [input_shape, input_shape[1:]][: 2 if input_shape[0] == 1 else 1]
    if images.shape[1:] not in fitting:
        shapes = " or ".join(map(with_batch, fitting))
        advice = _advice(images.shape, input_shape)
        raise ValueError(f"images must have the shape {shapes}, not {images.shape}{advice}")
    if images.dtype == np.float32:
        outside = ~((images >= 0) & (images <= 1))
        if outside.any():
            value = images[outside][0]
            raise ValueError(
                f"images of float32 must lie in [0, 1], but there is {value}: "
                "divide by 255, or give uint8"
            )
    return np.ascontiguousarray(images).reshape((len(images), *input_shape))


def is_picture(value: object) -> bool:
    """Return whether a value is a path, bytes or a PIL image, without importing pillow.

    Parameters
    ----------
    value : object
        The value that a user passed as an image.
    """
    pillow = any(kind.__module__.startswith("PIL.") for kind in type(value).__mro__)
    return pillow or isinstance(value, str | bytes | os.PathLike)


def stack_advice(images: Any) -> str:
    """Return advice if a user passed a list of arrays instead of one array, otherwise "".

    Parameters
    ----------
    images : object
        The value that a user passed as images.
    """
    if not isinstance(images, list | tuple) or not images:
        return ""
    return ": use np.stack(images)" if all(isinstance(i, np.ndarray) for i in images) else ""


def _advice(shape: Shape, wanted: Shape) -> str:
    """Return advice for an array of `shape`, if it should have had the shape (N, *wanted)."""
    if shape == wanted or (wanted[0] == 1 and shape == wanted[1:]):
        return ": for a single image add the axis, images[np.newaxis]"
    if shape == (*wanted[1:], wanted[0]):
        return ": for a single image with channels last, images.transpose(2, 0, 1)[np.newaxis]"
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)):
        return ": a picture of any size may be given as a path or a PIL image"
    last = channels_last(shape)
    return f": {last}" if last else ""
