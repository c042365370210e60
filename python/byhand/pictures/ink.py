"""The ink of a picture: how far each pixel stands off the paper round it.

Paper is what remains of a picture if everything thinner than a large square is taken away (a
morphological opening). The square fits into a shaded half of the sheet and into the table beside
it, so these count as ground and their sharp edges leave nothing; it fits into no stroke.
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

# Longest side of the copy in which ink is looked for: a digit of 7 mm on A4 has 24 pixels there.
_WORK = 1024
# Longest side of the copy in which the ground is found, which is smooth but for sharp shadows.
_COARSE = 256
# Side of the square that strokes do not hold, as a share of the picture's shorter side, or of the
# longer side if the picture is cut tightly, because the paper goes on beyond it.
_SQUARE = 0.4
# A picture is cut tightly if what is written has at least this share of its height or its width.
_TIGHT = 0.85
# Differences from the paper, as a share of the largest: writing has more than the first, paper at
# most the second. At most the given share of the frame lies between them, at strokes' edges.
_WRITTEN, _EVEN, _UNEVEN = 0.6, 0.15, 0.1
# Writing that the frame cuts covers less of it in one place than this share of the shorter side.
_CROSSING = 0.45
# Copies this large are averaged over 3 x 3 pixels before anything is told from noise.
_SMOOTH = 64
# Ink in a shadow is brightened up to this much, as its paper is.
_MOST_GAIN = 2.5

# Ink differs from the ground by at least this many grey levels, and by at least this many standard
# deviations of the noise.
_LEAST_CONTRAST = 12.0
_LEAST_SIGNAL = 6.0
# The same for pixels that are connected with such ones.
_WEAK = 0.5


@dataclass(frozen=True)
class Ink:
    """How far each pixel differs from the paper, in grey levels, and how much may be noise.

    level: (height, width), 0 on paper, as sharp as the picture. smooth: the same without single
    pixels' noise. strong, weak: the least level of a stroke and of its edge.
    light: how light the ground is, 1 where it is lightest: paper is lighter than tables. darker:
    whether the ink is darker than the paper.
    """

    level: Floats
    smooth: Floats
    strong: Floats
    weak: Floats
    light: Floats
    darker: bool


def ink_of(pixels: Pixels, likely: bool = True) -> Ink:
    """The ink of a picture, (H, W, channels), in a copy of at most 1,024 pixels a side.

    likely: whether ink is darker or lighter as seems likely, or the other way round.
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
    # The opening follows the lightest of the noise; paper itself lies in its middle. Ink is left
    # out, which covers half of a tightly cut picture.
    paper_alone = smooth[smooth <= max(float(smooth.max()) / 2, float(smooth.min()))]
    middle = float(np.median(paper_alone))
    noise = 1.4826 * float(np.median(np.abs(paper_alone - middle)))
    strong = max(_LEAST_CONTRAST, _LEAST_SIGNAL * noise)
    half = (float(smooth.max()) - middle) / 2
    if strong > half > 0 and _has_full_ink((smooth - middle) / (2 * half)):
        # Stripes of shadow are no noise, although they are spread as wide as strong noise.
        strong = max(_LEAST_CONTRAST, half)
    light = gain = np.ones_like(ground)
    if darker:
        light = np.maximum(-ground, 1) / np.float32(max(float(np.percentile(-ground, 95)), 1.0))
        gain = np.clip(np.float32(np.median(light)) / light, 1 / _MOST_GAIN, _MOST_GAIN)
    sharp, smooth = (sharp - middle) * gain, (smooth - middle) * gain
    return Ink(sharp, smooth, strong * gain, _WEAK * strong * gain, light, darker)


def _has_full_ink(level: Floats) -> bool:
    """Whether most of what has about half of the largest level or more has nearly all of it.

    Ink has it, apart from its blurred edges. Of noise and of the paper's texture, most has not.
    """
    return bool((level > 0.6).sum() > 2 * ((level > 0.4) & (level <= 0.6)).sum())


def _paper_at_frame(coarse: Floats) -> Floats | None:
    """The colour of the paper all along the frame of a tightly cut picture, or None.

    None if the frame is not close to the writing, or if anything else lies along it, such as a
    table, a shadow or a printed line.
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
    # Twice round, so that a run across the first pixel is whole.
    crossing = np.tile(rim > _WRITTEN, 2)
    bounds = np.flatnonzero(np.diff(crossing, prepend=False, append=False))
    longest = (bounds[1::2] - bounds[::2]).max(initial=0)
    if extent < _TIGHT or uneven.mean() > _UNEVEN or longest > _CROSSING * min(off.shape):
        return None
    return np.asarray(paper)


def rim_of(values: Floats) -> Floats:
    """The pixels of the frame, clockwise from the first corner."""
    return np.concatenate((values[0], values[1:, -1], values[-1, -2::-1], values[-2:0:-1, 0]))


def _direction(
    coarse: Floats, size: int, likely: bool, paper: Floats | None
) -> tuple[Floats, bool]:
    """The colour of the ink as it differs from the paper's, of length 1; whether it is darker.

    In each channel ink is darker or lighter, whichever leaves the evener ground if it is taken
    away. The direction is the principal axis of the differences, the strong ones counting most.
    """
    off = np.empty_like(coarse)
    for c in range(coarse.shape[-1]):
        values, around = coarse[..., c], None if paper is None else float(paper[c])
        grounds = [_ground(values, sign, size, around) for sign in (1, -1)]
        evener = int(np.argmin([_variation(ground) for ground in grounds]))
        chosen = evener if likely else 1 - evener
        if around is None:  # what lies along the frame is ground, such as a table
            sign = (1, -1)[chosen]
            grounds[chosen] = _ground(values, sign, size, sign * np.inf)
        off[..., c] = values - grounds[chosen]
    d = off.reshape(-1, off.shape[-1]).astype(np.float64)
    weighted = d * np.linalg.norm(d, axis=1, keepdims=True)
    _, axes = np.linalg.eigh(weighted.T @ weighted)
    axis = axes[:, -1] * np.sign(((d @ axes[:, -1]) ** 3).sum() or 1.0)
    return np.asarray(axis, np.float32), bool(axis.sum() < 0)


def _ground(values: Floats, sign: int, size: int, around: float | None) -> Floats:
    """Remove ink that is lighter than the paper (sign 1) or darker (-1).

    around: the value all around the picture; None if the picture goes on as at its frame.
    """
    return sign * _opened(sign * values, size, None if around is None else sign * around)


def _opened(values: Floats, size: int, frame: float | None) -> Floats:
    """Remove what is lighter than its surroundings and too narrow for a square of `size`.

    frame: the value all around the picture; None if the picture goes on as at its frame.
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
    """Average over 3 x 3 pixels if the picture is large enough."""
    if min(values.shape[:2]) < _SMOOTH:
        return values
    return np.asarray(ndimage.uniform_filter(values, (3, 3, 1)[: values.ndim], mode="nearest"))


def scaled_down(pixels: NDArray[np.generic], side: int) -> Floats:
    """(H, W, channels) averaged down until neither side is longer."""
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
