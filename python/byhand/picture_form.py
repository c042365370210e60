"""The two ways in which a picture becomes an image, and which of them suits a training set.

"digits": the ink is found, cut out, fitted into a box of 20/28 of the image's sides and centred by
its mass, as MNIST's images were made. "plain": the picture is resized, nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PICTURES = ("digits", "plain")

# Pixels below this, of 255, are background: also what JPEG leaves beside a stroke.
_DARK = 32
# An image of a digit has a pixel at least this light, and ink on at most this share of it.
_LIGHT, _MOST_INK = 128, 0.5
# The largest distance between the centre of mass and the middle, as a part of a side: 2 of 28
# pixels. A single image that has been centred to the pixel is nearer.
_OFF_CENTRE, _CENTRED = 2 / 28, 0.75 / 28
# The share of a training set that must look like digits, and the number of images examined.
_SHARE, _SAMPLE = 0.9, 1000


def check_pictures(value: Any, channels: int) -> str:
    """Return `value`. Raise ValueError if it is unknown or does not suit this many channels."""
    if value not in PICTURES:
        raise ValueError(f"pictures must be 'digits' or 'plain', not {value!r}")
    if value == "digits" and channels != 1:
        raise ValueError(
            f"pictures must be 'plain' for images of {channels} channels: "
            "only grey images can be prepared as 'digits'"
        )
    return PICTURES[PICTURES.index(value)]


def suitable(images: NDArray[Any]) -> str:
    """The way that suits a model of these training images, uint8 or float32 (N, C, H, W).

    It is "digits" if there is one channel and at least nine of ten images look like MNIST's: the
    outermost pixels are dark, the brightest ones are light, ink covers less than half of the image,
    and its centre of mass lies within 2/28 of a side of the middle. Otherwise it is "plain". In
    a large set, 1,000 evenly spread images are examined.
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
    for axis in (1, 2):
        alike &= np.abs(_centre(ink, axis)) <= _OFF_CENTRE * ink.shape[axis]
    return "digits" if alike.mean() >= _SHARE else "plain"


def is_in_form(image: NDArray[np.uint8], box: tuple[int, int]) -> bool:
    """Whether an image (H, W) has been made like MNIST's already, with this box for its ink.

    It is if its brightest pixel is light, the ink is as high as the box and no wider, or as wide
    and no higher, give or take 2/28 of the image's side, and its centre of mass lies in the middle
    or would if the ink did not touch the frame.
    """
    # JPEG leaves faint pixels beside strokes, which are no ink. The faint end of a stroke is ink.
    return bool(image.max() >= _LIGHT) and any(_has_form(image, box, least) for least in (_DARK, 1))


def _has_form(image: NDArray[np.uint8], box: tuple[int, int], least: int) -> bool:
    """Apply the rules of `is_in_form` to the pixels of at least the level `least`."""
    ink = np.where(image >= least, image, 0).astype(np.float64)[np.newaxis]
    fills = False
    for axis, most in ((1, box[0]), (2, box[1])):
        side, places = ink.shape[axis], np.flatnonzero(ink[0].any(axis=2 - axis))
        first, last = places[0], places[-1]
        extent, slack = last - first + 1, side * _OFF_CENTRE
        centred = abs(_centre(ink, axis)[0]) <= side * _CENTRED
        if extent > most + slack or not (centred or first <= 1 or last >= side - 2):
            return False
        fills |= bool(extent >= most - slack)
    return fills


def _centre(ink: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The distance of each image's centre of mass from the middle, in pixels; images (N, H, W)."""
    mass = ink.sum(axis=3 - axis)
    total = np.maximum(mass.sum(axis=1), 1e-9)
    return np.asarray((mass @ np.arange(mass.shape[1])) / total - mass.shape[1] / 2)
