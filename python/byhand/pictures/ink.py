"""Find the ink of a picture: how much each pixel differs from the paper around it.

The ground is the paper and, if the picture shows it, the table that the paper lies on. It is what
remains of the picture if everything narrower than a large square is removed. This operation is a
morphological opening. No stroke is so wide that the square fits into it, so strokes are removed.
The square fits into a shaded half of the sheet and into a table beside the sheet. Both therefore
belong to the ground, and their sharp edges are not taken for ink.
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
# A picture is cut tightly if the writing spans at least this share of its height or its width.
_TIGHT = 0.85
# A pixel's difference from the paper is measured as a share of the largest difference in the
# picture. Writing has a difference above `_WRITTEN`, and paper has at most `_EVEN`. Edges of
# strokes lie between the two. If more than the share `_UNEVEN` of the picture's outermost pixels
# lies between the two, these pixels are not paper and strokes alone: there is also a shadow or a
# table.
_WRITTEN, _EVEN, _UNEVEN = 0.6, 0.15, 0.1
# If a stroke is cut off at the picture's edge, it covers a run of pixels along this edge. The run's
# length is at most this share of the picture's shorter side. A longer run is no stroke.
_CROSSING = 0.45
# Pictures with at least this many pixels per side are averaged over 3 x 3 pixels against noise.
_SMOOTH = 64
# In a shadow, the paper is darker, and ink differs less from it. To correct this, the difference is
# multiplied by a factor, which is at most `_MOST_GAIN`.
_MOST_GAIN = 2.5

# Ink differs from the ground by at least `_LEAST_CONTRAST` grey levels, and by at least
# `_LEAST_SIGNAL` standard deviations of the noise.
_LEAST_CONTRAST = 12.0
_LEAST_SIGNAL = 6.0
# Pixels that are connected with such ink are ink themselves if their difference reaches this share
# of the smallest difference of ink.
_WEAK = 0.5


@dataclass(frozen=True)
class Ink:
    """How much each pixel of a picture differs from the paper, and how much of it may be noise.

    Parameters
    ----------
    level : ndarray, shape (H, W), float32
        The difference from the paper in grey levels, corrected for shadows. It is about 0 on paper.
        It is not averaged, so edges of strokes are as sharp as in the picture.
    smooth : ndarray, shape (H, W), float32
        `level`, averaged over 3 x 3 pixels against the noise of single pixels.
    strong : ndarray, shape (H, W), float32
        The smallest value of `smooth` that counts as a stroke.
    weak : ndarray, shape (H, W), float32
        The smallest value of `smooth` that counts as the edge of a stroke.
    light : ndarray, shape (H, W), float32
        The brightness of the ground: about 1 for its lightest part, and less in a shadow and on a
        table. It is 1 everywhere if the ink is lighter than the paper.
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
        Ink is either darker or lighter than the paper, and the function decides which is more
        likely. If `likely` is false, it assumes the opposite.

    Returns
    -------
    Ink
        The ink in a copy of the picture with at most 1,024 pixels per side.
    """
    work = scaled_down(pixels, _WORK)
    coarse = smoothed(scaled_down(work, _COARSE))
    paper = _paper_along_edge(coarse)
    size = max(3, round(_SQUARE * (min if paper is None else max)(coarse.shape[:2])))
    direction, darker = _direction(coarse, size, likely, paper)
    outside = np.inf if paper is None else float(paper @ direction)
    ground = ndimage.maximum_filter(_opened(coarse @ direction, size, outside), 3)
    ground = _resized(ground, *work.shape[:2])
    sharp = work @ direction - ground
    smooth = smoothed(sharp)
    # The opening follows the extreme values of the noise, but the level of the paper is in the
    # middle of the noise. The median of the paper's pixels finds that middle. Pixels above half of
    # the largest level are ink and left out, because ink may cover half of a tightly cut picture.
    paper_alone = smooth[smooth <= max(float(smooth.max()) / 2, float(smooth.min()))]
    middle = float(np.median(paper_alone))
    # For normally distributed noise, the standard deviation is 1.4826 times the median absolute
    # deviation.
    noise = 1.4826 * float(np.median(np.abs(paper_alone - middle)))
    strong = max(_LEAST_CONTRAST, _LEAST_SIGNAL * noise)
    half = (float(smooth.max()) - middle) / 2
    if strong > half > 0 and _has_full_ink((smooth - middle) / (2 * half)):
        # With this `noise`, half of the largest level would not count as ink. But the picture has
        # clear ink, so most of the variation is not noise. It comes from stripes of shadow.
        strong = max(_LEAST_CONTRAST, half)
    light = gain = np.ones_like(ground)
    if darker:
        light = np.maximum(-ground, 1) / np.float32(max(float(np.percentile(-ground, 95)), 1.0))
        gain = np.clip(np.float32(np.median(light)) / light, 1 / _MOST_GAIN, _MOST_GAIN)
    sharp, smooth = (sharp - middle) * gain, (smooth - middle) * gain
    return Ink(sharp, smooth, strong * gain, _WEAK * strong * gain, light, darker)


def _has_full_ink(level: Floats) -> bool:
    """Return true if more than two thirds of the pixels above the level 0.4 are also above 0.6.

    The largest level is 1. Ink fulfils the condition, because only its blurred edges have levels
    between 0.4 and 0.6. Noise and the texture of paper do not fulfil it.
    """
    return bool((level > 0.6).sum() > 2 * ((level > 0.4) & (level <= 0.6)).sum())


def _paper_along_edge(coarse: Floats) -> Floats | None:
    """Return the colour of the paper along the edge of a tightly cut picture, or None.

    The result is None if the picture is not cut tightly around the writing. It is also None if
    anything other than paper and strokes lies along the picture's edge, such as a table, a shadow
    or a printed line.
    """
    paper = np.median(rim_of(coarse), axis=0)
    off = np.abs(coarse - paper).max(axis=-1)
    off /= max(float(off.max()), 1e-6)
    written = off > _WRITTEN
    if not written.any():  # the picture is blank
        return None
    rows, columns = np.flatnonzero(written.any(axis=1)), np.flatnonzero(written.any(axis=0))
    extent = max((np.ptp(rows) + 1) / len(off), (np.ptp(columns) + 1) / off.shape[1])
    rim = rim_of(off)
    uneven = (rim > _EVEN) & (rim <= _WRITTEN)
    # The outermost pixels form a closed loop. They are repeated once, so that a run which crosses
    # the first pixel is counted in one piece.
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

    The direction is a vector of length 1 with one value per channel. The function first decides for
    each channel whether the ink is darker or lighter than the paper. It removes ink of both kinds
    in turn, and chooses the kind whose removal leaves the more even ground. If `likely` is false,
    it chooses the other kind. The direction is then the principal axis of the differences of all
    pixels from this ground. Large differences have more weight in it.
    """
    off = np.empty_like(coarse)
    for c in range(coarse.shape[-1]):
        values, outside = coarse[..., c], None if paper is None else float(paper[c])
        grounds = [_ground(values, sign, size, outside) for sign in (1, -1)]
        evener = int(np.argmin([_variation(ground) for ground in grounds]))
        chosen = evener if likely else 1 - evener
        if outside is None:  # anything along the edge of the picture is ground, such as a table
            sign = (1, -1)[chosen]
            grounds[chosen] = _ground(values, sign, size, sign * np.inf)
        off[..., c] = values - grounds[chosen]
    d = off.reshape(-1, off.shape[-1]).astype(np.float64)
    weighted = d * np.linalg.norm(d, axis=1, keepdims=True)
    _, axes = np.linalg.eigh(weighted.T @ weighted)
    axis = axes[:, -1] * np.sign(((d @ axes[:, -1]) ** 3).sum() or 1.0)
    return np.asarray(axis, np.float32), bool(axis.sum() < 0)


def _ground(values: Floats, sign: int, size: int, outside: float | None) -> Floats:
    """Remove ink that is lighter than the paper (`sign` 1) or darker (`sign` -1).

    `outside` is the value outside the picture. If it is None, the values at the edge are repeated.
    """
    return sign * _opened(sign * values, size, None if outside is None else sign * outside)


def _opened(values: Floats, size: int, outside: float | None) -> Floats:
    """Remove parts that are lighter than their surroundings and narrower than `size` pixels.

    `outside` is the value outside the picture. If it is None, the values at the edge are repeated.
    """
    if outside is None:
        return np.asarray(ndimage.grey_opening(values, (size, size), mode="nearest"))
    half = size // 2
    padded = np.pad(values, half, constant_values=outside)
    opened = ndimage.grey_opening(padded, (size, size), mode="nearest")
    return np.asarray(opened[half : half + values.shape[0], half : half + values.shape[1]])


def _variation(values: Floats) -> float:
    return sum(float(np.abs(np.diff(values, axis=axis)).sum()) for axis in (0, 1))


def smoothed(values: Floats) -> Floats:
    """Average each pixel with its neighbours (3 x 3) if no side is shorter than 64 pixels.

    Parameters
    ----------
    values : ndarray, shape (H, W) or (H, W, C), float32
        The picture.

    Returns
    -------
    ndarray, same shape as `values`, float32
        The averages. If a side is shorter than 64 pixels, the result is `values` itself.
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
        The smaller picture. If `pixels` is small enough already, its size does not change.
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
