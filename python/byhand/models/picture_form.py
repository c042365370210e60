"""The two ways to turn a picture into an image, and the choice between them for a training set.

"digits" follows the recipe of MNIST: find the ink, scale it to fit into a box of 20/28 of the
image's sides, and move its centre of mass to the middle. "plain" only resizes the picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PICTURES = ("digits", "plain")

# Pixels have values from 0 to 255. A pixel below _DARK is background. With this limit, the faint
# pixels that JPEG compression makes beside a stroke count as background, too.
_DARK = 32
# In an image of a digit, at least one pixel has the value _LIGHT or more, and the ink covers less
# than the share _MOST_INK of the area.
_LIGHT, _MOST_INK = 128, 0.5
# The largest distance of the centre of mass from the middle of the image, as a share of a side:
# _OFF_CENTRE for the images of a training set, _CENTRED for a single image.
_OFF_CENTRE, _CENTRED = 2 / 28, 0.75 / 28
# The span of an image is the height or the width of its ink, whichever is the larger share of the
# side: 20/28 in MNIST. The median span of a training set of digits is in this range. The span of
# each image differs from the median by at most _SLACK.
_SMALLEST_SPAN, _LARGEST_SPAN, _SLACK = 0.6, 0.75, 2 / 28
# In a training set of digits, at least the share _SHARE of the images looks like MNIST's. At most
# _SAMPLE images are examined.
_SHARE, _SAMPLE = 0.9, 1000


def check_pictures(value: Any, channels: int) -> str:
    """Check that a value is "digits" or "plain", and is possible for the images of a model.

    Parameters
    ----------
    value : {"digits", "plain"}
        The value.
    channels : int
        The number of channels of the images.

    Returns
    -------
    str
        `value`.

    Raises
    ------
    ValueError
        If `value` is neither "digits" nor "plain", or is "digits" for more than one channel.
    """
    if value not in PICTURES:
        raise ValueError(f"pictures must be 'digits' or 'plain', not {value!r}")
    if value == "digits" and channels != 1:
        raise ValueError(
            f"pictures must be 'plain' for images of {channels} channels: "
            "only grey images can be prepared as 'digits'"
        )
    return PICTURES[PICTURES.index(value)]


def suitable(images: NDArray[Any]) -> str:
    """Choose how a model that is trained with these images will prepare pictures.

    Parameters
    ----------
    images : ndarray, shape (N, C, H, W), uint8 or float32
        The training images.

    Returns
    -------
    {"digits", "plain"}
        "digits" if the images have one channel, their median span is from 0.6 to 0.75, and at least
        nine of ten images look like MNIST's. Otherwise "plain".

    Notes
    -----
    The span of an image is the height or the width of its ink, whichever is larger, as a share of
    the side. An image looks like MNIST's if

    - the pixels at the edge of the image are dark,
    - its brightest pixel is light,
    - ink covers less than half of its area,
    - its centre of mass is at most 2/28 of a side away from the middle,
    - its span differs from the median span by at most 2/28.

    At most 1,000 evenly spaced images of a large set are examined.
    """
    if images.shape[1] != 1 or len(images) == 0:
        return "plain"
    sample = images[:: -(-len(images) // _SAMPLE), 0]
    if sample.dtype != np.uint8:
        sample = sample * 255
    edge = np.maximum(sample[:, [0, -1]].max(axis=(1, 2)), sample[:, :, [0, -1]].max(axis=(1, 2)))
    ink = np.where(sample >= _DARK, sample, 0).astype(np.float64)
    alike = (edge < _DARK) & (ink.max(axis=(1, 2)) >= _LIGHT)
    alike &= (ink > 0).mean(axis=(1, 2)) < _MOST_INK
    span = np.zeros(len(ink))
    for axis in (1, 2):
        mass = ink.sum(axis=3 - axis)
        alike &= np.abs(_off_centre(mass)) <= _OFF_CENTRE * mass.shape[1]
        span = np.maximum(span, _extent(mass) / mass.shape[1])
    median = float(np.median(span))
    if not _SMALLEST_SPAN <= median <= _LARGEST_SPAN:
        return "plain"
    alike &= np.abs(span - median) <= _SLACK
    return "digits" if alike.mean() >= _SHARE else "plain"


def is_in_form(image: NDArray[np.uint8], box: tuple[int, int]) -> bool:
    """Return whether an image looks like MNIST's already, so that it needs no preparation.

    Three conditions must hold. The brightest pixel is light. The ink fits into the box and fills
    its height or its width, with a tolerance of 2/28 of a side of the image. Along each axis,
    the centre of mass is in the middle, or the ink comes within one pixel of the edge of the image,
    so that it could not be moved further.

    Parameters
    ----------
    image : ndarray, shape (H, W), uint8
        The image.
    box : (int, int)
        The height and the width of the box for the ink.
    """
    # A faint pixel may belong to the end of a stroke, or JPEG compression may have made it beside a
    # stroke. So test the image twice: without and with its faint pixels.
    return bool(image.max() >= _LIGHT) and any(_has_form(image, box, least) for least in (_DARK, 1))


def _has_form(image: NDArray[np.uint8], box: tuple[int, int], least: int) -> bool:
    """Check the size and the position of the ink: the pixels with a value of at least `least`."""
    ink, fills = np.where(image >= least, image, 0), False
    for axis, most in enumerate(box):
        mass = ink.sum(axis=1 - axis, dtype=np.float64)
        side, inked = len(mass), np.flatnonzero(mass)
        first, last = inked[0], inked[-1]
        extent, slack = last - first + 1, side * _SLACK
        centred = abs(_off_centre(mass)) <= side * _CENTRED
        if extent > most + slack or not (centred or first <= 1 or last >= side - 2):
            return False
        fills |= bool(extent >= most - slack)
    return fills


def _off_centre(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of the centre of mass from the middle, in pixels.

    `mass` has the shape (..., side): the sums of the pixels of each row, or of each column.
    """
    side = mass.shape[-1]
    total = np.maximum(mass.sum(axis=-1), 1e-9)
    return np.asarray((mass @ np.arange(side)) / total - side / 2)


def _extent(mass: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return, for each image, the number of rows or columns from the first to the last with ink.

    `mass` has the shape (N, side): the sums of the pixels of each row, or of each column.
    """
    inked = mass > 0
    return np.where(
        inked.any(axis=1), mass.shape[1] - inked.argmax(axis=1) - inked[:, ::-1].argmax(axis=1), 0
    )
