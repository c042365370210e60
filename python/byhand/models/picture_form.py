"""The two ways in which a picture becomes an image, and which of them suits a training set.

"digits" does what was done to make MNIST's images: the ink is found and cut out, scaled to fit a
box of 20/28 of the image's sides, and centred by its mass. "plain" only resizes the picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PICTURES = ("digits", "plain")

# A pixel below this value, of 255, is background. So are the faint pixels that JPEG compression
# makes beside a stroke.
_DARK = 32
# An image of a digit has a pixel at least this light, and ink on less than this share of its area.
_LIGHT, _MOST_INK = 128, 0.5
# The largest distance of the centre of mass from the middle of the image, as a share of a side. The
# first bound is for a training set. The second is for a single image that was centred.
_OFF_CENTRE, _CENTRED = 2 / 28, 0.75 / 28
# The ink of a training set of digits spans a share of the sides in this range, such as 20 of 28
# pixels, or 20 of 32. The span of each image differs from that of the set by at most _SLACK.
_SMALLEST_SPAN, _LARGEST_SPAN, _SLACK = 0.6, 0.75, 2 / 28
# The share of a training set that must look like digits, and the number of images examined.
_SHARE, _SAMPLE = 0.9, 1000


def check_pictures(value: Any, channels: int) -> str:
    """Check that a value is a way to prepare pictures, and suits the images of a model.

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
        If `value` is neither of them, or "digits" for more than one channel.
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
    """Find the way to prepare pictures for a model of these training images.

    Parameters
    ----------
    images : ndarray, shape (N, C, H, W), uint8 or float32
        The training images.

    Returns
    -------
    {"digits", "plain"}
        "digits" if there is one channel and at least nine of ten images look like those of MNIST,
        otherwise "plain".

    Notes
    -----
    An image looks like those of MNIST if the outermost pixels are dark, the brightest pixel is
    light, ink covers less than half of the image, the centre of mass lies within 2/28 of a side of
    the middle, and the ink is about as large as in the other images. Their median span must be 0.6
    to 0.75 of a side. In a large set, at most 1,000 evenly spread images are examined.
    """
    if images.shape[1] != 1 or len(images) == 0:
        return "plain"
    sample = images[:: -(-len(images) // _SAMPLE), 0]
    if sample.dtype != np.uint8:
        sample = sample * 255
    ring = np.maximum(sample[:, [0, -1]].max(axis=(1, 2)), sample[:, :, [0, -1]].max(axis=(1, 2)))
    ink = np.where(sample >= _DARK, sample, 0).astype(np.float64)
    alike = (ring < _DARK) & (ink.max(axis=(1, 2)) >= _LIGHT)
    alike &= (ink > 0).mean(axis=(1, 2)) < _MOST_INK
    span = np.zeros(len(ink))
    for axis in (1, 2):
        mass = ink.sum(axis=3 - axis)
        alike &= np.abs(_off_centre(mass)) <= _OFF_CENTRE * mass.shape[1]
        span = np.maximum(span, _extent(mass) / mass.shape[1])
    usual = float(np.median(span))
    if not _SMALLEST_SPAN <= usual <= _LARGEST_SPAN:
        return "plain"
    alike &= np.abs(span - usual) <= _SLACK
    return "digits" if alike.mean() >= _SHARE else "plain"


def is_in_form(image: NDArray[np.uint8], box: tuple[int, int]) -> bool:
    """Return whether an image was already prepared as MNIST's images were.

    It was if the brightest pixel is light, the ink just fits into the box, give or take 2/28 of a
    side of the image, and the centre of mass lies in the middle, or cannot because the ink touches
    the frame.

    Parameters
    ----------
    image : ndarray, shape (H, W), uint8
        The image.
    box : (int, int)
        The height and the width of the box for the ink.
    """
    # Faint pixels may be the end of a stroke, which is ink, or what JPEG makes beside a stroke.
    return bool(image.max() >= _LIGHT) and any(_has_form(image, box, least) for least in (_DARK, 1))


def _has_form(image: NDArray[np.uint8], box: tuple[int, int], least: int) -> bool:
    """Apply the rules of `is_in_form` to the pixels of at least the level `least`."""
    ink, fills = np.where(image >= least, image, 0), False
    for axis, most in enumerate(box):
        mass = ink.sum(axis=1 - axis, dtype=np.float64)
        side, places = len(mass), np.flatnonzero(mass)
        first, last = places[0], places[-1]
        extent, slack = last - first + 1, side * _SLACK
        centred = abs(_off_centre(mass)) <= side * _CENTRED
        if extent > most + slack or not (centred or first <= 1 or last >= side - 2):
            return False
        fills |= bool(extent >= most - slack)
    return fills


def _off_centre(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of the centre of mass (..., side) from the middle, in pixels."""
    side = mass.shape[-1]
    total = np.maximum(mass.sum(axis=-1), 1e-9)
    return np.asarray((mass @ np.arange(side)) / total - side / 2)


def _extent(mass: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of pixels from the first with a mass (N, side) to the last one, (N,)."""
    there = mass > 0
    return np.where(
        there.any(axis=1), mass.shape[1] - there.argmax(axis=1) - there[:, ::-1].argmax(axis=1), 0
    )
