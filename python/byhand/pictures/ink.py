"""Find the ink of a picture: how much each pixel differs from the paper around it.

The ground (the paper, and a table that it lies on) is what remains of the picture if everything
narrower than a large square is removed. This operation is a morphological opening. No stroke is so
wide that the square fits into it, so strokes are removed. The square fits into a shaded half of the
sheet and into a table beside the sheet. Both therefore belong to the ground, and their sharp edges
are not taken for ink.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Ink is searched for in a copy of the picture. This is the longest side of the copy, in pixels. A
# digit 7 mm tall on a sheet of A4 has 24 pixels there.
_WORK = 1024
# The ground is computed in a smaller copy, because it is smooth apart from the edges of shadows.
# This is the longest side of that copy, in pixels.
_COARSE = 256
# The side of the square of the opening, as a share of the picture's shorter side. If the picture is
# cut tightly around the writing, it is a share of the longer side, because the paper goes on beyond
# the picture.
_SQUARE = 0.4
# A picture is cut tightly if the writing takes at least this share of its height or its width.
_TIGHT = 0.85
# Differences from the paper, as shares of the largest difference. Writing has more than `_WRITTEN`,
# and paper has at most `_EVEN`. Pixels between the two are edges of strokes. If more than the share
# `_UNEVEN` of the picture's outermost pixels lies between the two, something else is there.
_WRITTEN, _EVEN, _UNEVEN = 0.6, 0.15, 0.1
# If strokes are cut off at the picture's edge, each of them covers less of the edge than this share
# of the shorter side.
_CROSSING = 0.45
# Pictures with at least this many pixels per side are averaged over 3 x 3 pixels against noise.
_SMOOTH = 64
# Paper in a shadow is darker, and so is the difference of its ink. The difference is multiplied by
# at most this factor to make up for the shadow.
_MOST_GAIN = 2.5

# Ink differs from the ground by at least `_LEAST_CONTRAST` grey levels, and by at least
# `_LEAST_SIGNAL` standard deviations of the noise.
_LEAST_CONTRAST = 12.0
_LEAST_SIGNAL = 6.0
# Pixels that are connected with such ink are ink themselves if they reach this share of its level.
_WEAK = 0.5


@dataclass(frozen=True)
class Ink:
    """How much each pixel of a picture differs from the paper, and how much of it may be noise.

    Parameters
    ----------
    level : ndarray, shape (H, W), float32
        The difference from the paper in grey levels. It is 0 on paper, and as sharp as the picture.
    smooth : ndarray, shape (H, W), float32
        `level` without the noise of single pixels.
    strong : ndarray, shape (H, W), float32
        The smallest level of a stroke.
    weak : ndarray, shape (H, W), float32
        The smallest level of a stroke's edge.
    light : ndarray, shape (H, W), float32
        The brightness of the ground, about 1 for its lightest part. Paper is lighter than a table.
    darker : bool
        Whether the ink is darker than the paper.
    """

    level: Floats
    smooth: Floats
    strong: Floats
    weak: Floats
    light: Floats
    darker: bool


def ink_of(pixels: Pixels, likely: bool = True) -> Ink:
    """Find the ink of a picture.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, C), uint8
        The picture.
    likely : bool
        Ink is either darker or lighter than the paper. The function takes the more likely choice,
        or the other one if `likely` is false.

    Returns
    -------
    Ink
        The ink in a copy of the picture with at most 1,024 pixels per side.
    """
    work = scaled_down(pixels, _WORK)
    coarse = smoothed(scaled_down(work, _COARSE))
    paper = _paper_at_frame(coarse)
    size = max(3, round(_SQUARE * (min if paper is None else max)(coarse.shape[:2])))
    direction, darker = _direction(coarse, size, likely, paper)
    frame = np.inf if paper is None else float(paper @ direction)
    ground = ndimage.maximum_filter(_opened(coarse @ direction, size, frame), 3)
    ground = _resized(ground, *work.shape[:2])
    sharp = work @ direction - ground
    smooth = smoothed(sharp)
    # The opening follows the extreme values of the noise, but the paper is in the middle of the
    # noise. The median finds that middle. It leaves out ink, because ink may cover half of a
    # tightly cut picture.
    paper_alone = smooth[smooth <= max(float(smooth.max()) / 2, float(smooth.min()))]
    middle = float(np.median(paper_alone))
    noise = 1.4826 * float(np.median(np.abs(paper_alone - middle)))
    strong = max(_LEAST_CONTRAST, _LEAST_SIGNAL * noise)
    half = (float(smooth.max()) - middle) / 2
    if strong > half > 0 and _has_full_ink((smooth - middle) / (2 * half)):
        # The variation comes from stripes of shadow. It is as large as strong noise, but it is no
        # noise.
        strong = max(_LEAST_CONTRAST, half)
    light = gain = np.ones_like(ground)
    if darker:
        light = np.maximum(-ground, 1) / np.float32(max(float(np.percentile(-ground, 95)), 1.0))
        gain = np.clip(np.float32(np.median(light)) / light, 1 / _MOST_GAIN, _MOST_GAIN)
    sharp, smooth = (sharp - middle) * gain, (smooth - middle) * gain
    return Ink(sharp, smooth, strong * gain, _WEAK * strong * gain, light, darker)


def _has_full_ink(level: Floats) -> bool:
    """Return true if most of the pixels above 0.4 times the largest level are also above 0.6.

    This is so for ink, except for its blurred edges. It is not so for noise and for the texture of
    paper.
    """
    return bool((level > 0.6).sum() > 2 * ((level > 0.4) & (level <= 0.6)).sum())


def _paper_at_frame(coarse: Floats) -> Floats | None:
    """Return the colour of the paper along the edge of a tightly cut picture, or None.

    The result is None if the edge of the picture is not close to the writing, or if anything other
    than paper lies along it, such as a table, a shadow or a printed line.
    """
    paper = np.median(rim_of(coarse), axis=0)
    off = np.abs(coarse - paper).max(axis=-1)
    off /= max(float(off.max()), 1e-6)
    written = off > _WRITTEN
    if not written.any():  # blank
        return None
    rows, columns = np.flatnonzero(written.any(axis=1)), np.flatnonzero(written.any(axis=0))
    extent = max((np.ptp(rows) + 1) / len(off), (np.ptp(columns) + 1) / off.shape[1])
    rim = rim_of(off)
    uneven = (rim > _EVEN) & (rim <= _WRITTEN)
    # The outermost pixels are repeated once, so that a run across the first pixel is whole.
    crossing = np.tile(rim > _WRITTEN, 2)
    bounds = np.flatnonzero(np.diff(crossing, prepend=False, append=False))
    longest = (bounds[1::2] - bounds[::2]).max(initial=0)
    if extent < _TIGHT or uneven.mean() > _UNEVEN or longest > _CROSSING * min(off.shape):
        return None
    return np.asarray(paper)


def rim_of(values: Floats) -> Floats:
    """Return the outermost pixels of an array, clockwise from the top left corner.

    Parameters
    ----------
    values : ndarray, shape (H, W) or (H, W, C)
        The array. H and W are at least 2.

    Returns
    -------
    ndarray, shape (2 * (H + W) - 4,) or (2 * (H + W) - 4, C)
        The pixels.
    """
    return np.concatenate((values[0], values[1:, -1], values[-1, -2::-1], values[-2:0:-1, 0]))


def _direction(
    coarse: Floats, size: int, likely: bool, paper: Floats | None
) -> tuple[Floats, bool]:
    """Return the direction from the paper's colour to the ink's, and whether the ink is darker.

    The direction has length 1. In each channel, the ink is darker or lighter than the paper: the
    choice is the one whose removal leaves the more even ground. The direction is the principal axis
    of the differences of all pixels, in which large differences have more weight.
    """
    off = np.empty_like(coarse)
    for c in range(coarse.shape[-1]):
        values, around = coarse[..., c], None if paper is None else float(paper[c])
        grounds = [_ground(values, sign, size, around) for sign in (1, -1)]
        evener = int(np.argmin([_variation(ground) for ground in grounds]))
        chosen = evener if likely else 1 - evener
        if around is None:  # anything along the edge of the picture is ground, such as a table
            sign = (1, -1)[chosen]
            grounds[chosen] = _ground(values, sign, size, sign * np.inf)
        off[..., c] = values - grounds[chosen]
    d = off.reshape(-1, off.shape[-1]).astype(np.float64)
    weighted = d * np.linalg.norm(d, axis=1, keepdims=True)
    _, axes = np.linalg.eigh(weighted.T @ weighted)
    axis = axes[:, -1] * np.sign(((d @ axes[:, -1]) ** 3).sum() or 1.0)
    return np.asarray(axis, np.float32), bool(axis.sum() < 0)


def _ground(values: Floats, sign: int, size: int, around: float | None) -> Floats:
    """Remove ink that is lighter than the paper (`sign` 1) or darker (`sign` -1).

    `around` is the value outside the picture. If it is None, the values at the edge are repeated.
    """
    return sign * _opened(sign * values, size, None if around is None else sign * around)


def _opened(values: Floats, size: int, frame: float | None) -> Floats:
    """Remove parts that are lighter than their surroundings and narrower than `size`.

    `frame` is the value outside the picture. If it is None, the values at the edge are repeated.
    """
    if frame is None:
        return np.asarray(ndimage.grey_opening(values, (size, size), mode="nearest"))
    half = size // 2
    padded = np.pad(values, half, constant_values=frame)
    opened = ndimage.grey_opening(padded, (size, size), mode="nearest")
    return np.asarray(opened[half : half + values.shape[0], half : half + values.shape[1]])


def _variation(values: Floats) -> float:
    return sum(float(np.abs(np.diff(values, axis=axis)).sum()) for axis in (0, 1))


def smoothed(values: Floats) -> Floats:
    """Average over 3 x 3 pixels if no side is shorter than 64 pixels.

    Parameters
    ----------
    values : ndarray, shape (H, W) or (H, W, C), float32
        The picture.

    Returns
    -------
    ndarray, same shape as `values`, float32
        The averages, or `values` itself if it is smaller.
    """
    if min(values.shape[:2]) < _SMOOTH:
        return values
    return np.asarray(ndimage.uniform_filter(values, (3, 3, 1)[: values.ndim], mode="nearest"))


def scaled_down(pixels: NDArray[np.generic], side: int) -> Floats:
    """Average a picture down so that its longer side has at most `side` pixels.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, C)
        The picture.
    side : int
        The largest number of pixels per side.

    Returns
    -------
    ndarray, shape (H, W, C), float32
        The smaller picture. It has the size of `pixels` if that is small enough.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    if size == (height, width):
        return pixels.astype(np.float32)
    channels = [
        Image.fromarray(np.ascontiguousarray(pixels[..., c])).resize(
            size[::-1], Image.Resampling.BOX
        )
        for c in range(pixels.shape[-1])
    ]
    return np.stack([np.asarray(c, np.float32) for c in channels], axis=-1)


def _resized(values: Floats, rows: int, columns: int) -> Floats:
    image = Image.fromarray(values).resize((columns, rows), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32)
