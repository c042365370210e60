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
# Side of the square that strokes do not hold, as a share of the picture's shorter side.
_SQUARE = 0.4
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
    light: how light the ground is, 1 where it is lightest: paper is lighter than tables.
    """

    level: Floats
    smooth: Floats
    strong: Floats
    weak: Floats
    light: Floats


def ink_of(pixels: Pixels, likely: bool = True, open_frame: bool = True) -> Ink:
    """The ink of a picture, (H, W, channels), in a copy of at most 1,024 pixels a side.

    likely: whether ink is darker or lighter as seems likely, or the other way round. open_frame:
    whether strips along the picture's frame are ground, such as a table. If not, they are ink, such
    as the top of a tightly cut 7.
    """
    work = _scaled_down(pixels, _WORK)
    coarse = smoothed(_scaled_down(work, _COARSE))
    size = max(3, round(_SQUARE * min(coarse.shape[:2])))
    direction, darker = _direction(coarse, size, likely, open_frame)
    axis = coarse @ direction
    ground = ndimage.maximum_filter(_opened(axis, size, open_frame), 3)
    ground = _resized(ground, *work.shape[:2])
    sharp = work @ direction - ground
    smooth = smoothed(sharp)
    # The opening follows the lightest of the noise; paper itself lies in its middle.
    middle = float(np.median(smooth))
    noise = 1.4826 * float(np.median(np.abs(smooth - middle)))
    strong = max(_LEAST_CONTRAST, _LEAST_SIGNAL * noise)
    light = gain = np.ones_like(ground)
    if darker:
        light = np.maximum(-ground, 1) / np.float32(max(float(np.percentile(-ground, 95)), 1.0))
        gain = np.clip(np.float32(np.median(light)) / light, 1 / _MOST_GAIN, _MOST_GAIN)
    sharp, smooth = (sharp - middle) * gain, (smooth - middle) * gain
    return Ink(sharp, smooth, strong * gain, _WEAK * strong * gain, light)


def _direction(coarse: Floats, size: int, likely: bool, open_frame: bool) -> tuple[Floats, bool]:
    """The colour of the ink as it differs from the paper's, of length 1; whether it is darker.

    In each channel ink is darker or lighter, whichever leaves the evener ground if it is taken
    away. The direction is the principal axis of the differences, the strong ones counting most.
    """
    off = np.empty_like(coarse)
    for c in range(coarse.shape[-1]):
        signs = (1, -1) if likely else (-1, 1)
        uneven = [_variation(_opened(sign * coarse[..., c], size, False)) for sign in (1, -1)]
        sign = signs[int(np.argmin(uneven))]
        off[..., c] = coarse[..., c] - sign * _opened(sign * coarse[..., c], size, open_frame)
    d = off.reshape(-1, off.shape[-1]).astype(np.float64)
    weighted = d * np.linalg.norm(d, axis=1, keepdims=True)
    _, axes = np.linalg.eigh(weighted.T @ weighted)
    axis = axes[:, -1] * np.sign(((d @ axes[:, -1]) ** 3).sum() or 1.0)
    return np.asarray(axis, np.float32), bool(axis.sum() < 0)


def _opened(values: Floats, size: int, open_frame: bool) -> Floats:
    """Remove what is lighter than its surroundings and too narrow for a square of `size`."""
    half = size // 2
    if not open_frame:
        return np.asarray(ndimage.grey_opening(values, (size, size), mode="nearest"))
    padded = np.pad(values, half, constant_values=np.inf)
    opened = ndimage.grey_opening(padded, (size, size), mode="nearest")
    return np.asarray(opened[half : half + values.shape[0], half : half + values.shape[1]])


def _variation(values: Floats) -> float:
    return sum(float(np.abs(np.diff(values, axis=axis)).sum()) for axis in (0, 1))


def smoothed(values: Floats) -> Floats:
    """Average over 3 x 3 pixels if the picture is large enough."""
    if min(values.shape[:2]) < _SMOOTH:
        return values
    return np.asarray(ndimage.uniform_filter(values, (3, 3, 1)[: values.ndim], mode="nearest"))


def _scaled_down(pixels: NDArray[np.generic], side: int) -> Floats:
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
