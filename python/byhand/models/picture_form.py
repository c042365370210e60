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
# The ink of a training set of digits spans this share of its images' sides: 20 of 28 pixels, or of
# 32 in sets with a wider frame. The span of an image differs from the set's by at most _SLACK.
_SMALLEST_SPAN, _LARGEST_SPAN, _SLACK = 0.6, 0.75, 2 / 28
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
    its centre of mass lies within 2/28 of a side of the middle, and the ink is as large as in
    MNIST, in all images alike. Otherwise it is "plain". In a large set, 1,000 evenly spread images
    are examined.
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
    """Whether an image (H, W) has been made like MNIST's already, with this box for its ink.

    It is if its brightest pixel is light, the ink is as high as the box and no wider, or as wide
    and no higher, give or take 2/28 of the image's side, and its centre of mass lies in the middle
    or would if the ink did not touch the frame.
    """
    # JPEG leaves faint pixels beside strokes, which are no ink. The faint end of a stroke is ink.
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
    """The distance of the centre of mass from the middle, in pixels; mass (..., side)."""
    side = mass.shape[-1]
    total = np.maximum(mass.sum(axis=-1), 1e-9)
    return np.asarray((mass @ np.arange(side)) / total - side / 2)


def _extent(mass: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number of pixels from the first that has mass to the last, (N,); mass (N, side)."""
    there = mass > 0
    return np.where(
        there.any(axis=1), mass.shape[1] - there.argmax(axis=1) - there[:, ::-1].argmax(axis=1), 0
    )
