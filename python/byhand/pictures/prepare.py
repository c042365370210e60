"""A picture of a digit as MNIST's images were made: ink 255 on 0, fitted into 20x20, its centre of
mass in the middle of 28x28.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from byhand.models.picture_form import is_in_form

from .ink import Floats, Pixels
from .marks import Mark, largest, marks
from .read import PictureError

# MNIST's 20x20 of ink in 28x28, for any size.
_BOX = 20 / 28

# The width of a stroke is measured at this share of the ink's level.
_CORE = 0.5

# Widths of strokes, for a box of 20: MNIST's lie between 1.3 and 3.1 (5 % and 95 %).
_THIN = 1.3
_NORMAL = 2.0
# Pixels a side, at most, of the copy in which strokes are measured.
_MEASURED = 64
# The box in which strokes are thickened, as a multiple of the last one.
_FINE = 6


class BlankError(PictureError):
    """A picture on which nothing is drawn."""


def prepare(pixels: Pixels, height: int = 28, width: int = 28) -> Pixels:
    """Turn a picture of one digit into an image like MNIST's.

    The paper's own shades, print and specks are taken away; ink is what stands off the paper,
    whichever is darker and whatever its colour. An image that is like MNIST's already stays as it
    is. If there are several marks, the largest is taken; `marks` finds them all.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, 1 or 3), uint8
    height, width : int
        Size of the image.

    Returns
    -------
    ndarray, shape (height, width), uint8

    Raises
    ------
    BlankError
        If there is no ink.
    """
    if is_prepared(pixels, height, width):
        return pixels[..., 0]
    return image_of(main_mark(marks(pixels)), height, width)


def main_mark(found: list[Mark]) -> Mark:
    """The largest mark. Raises BlankError if there is none."""
    if not found:
        raise BlankError("blank: nothing stands off the paper")
    return largest(found)


def image_of(mark: Mark, height: int = 28, width: int = 28) -> Pixels:
    """A mark as an image like MNIST's, (height, width)."""
    return _centred(_fitted(mark.level, *_box(height, width)), height, width)


def is_prepared(pixels: Pixels, height: int, width: int) -> bool:
    """Whether a picture is an image like MNIST's already, of the size that is asked for."""
    return pixels.shape == (height, width, 1) and is_in_form(pixels[..., 0], _box(height, width))


def _box(height: int, width: int) -> tuple[int, int]:
    return max(1, round(_BOX * height)), max(1, round(_BOX * width))


def plain(pixels: Pixels, channels: int, height: int, width: int) -> Pixels:
    """(H, W, 1 or 3) resized to (height, width), or (channels, height, width) where channels > 1:
    nothing else is done. Colour becomes grey by luma where one channel is wanted."""
    if channels not in (1, 3):
        raise PictureError(f"the model takes {channels} channels, pictures have 1 or 3")
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image = image.convert("L" if channels == 1 else "RGB")
    resized = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    return resized if channels == 1 else np.ascontiguousarray(resized.transpose(2, 0, 1))


# --------------------------------------------------------------------------------------------------
# Fit


def _fitted(level: Floats, height: int, width: int) -> Floats:
    """The ink in a box of at most (height, width), its aspect ratio kept, from 0 to 255."""
    scale = min(height / level.shape[0], width / level.shape[1])
    stroke = _stroke_width(level) * scale * 20 / max(height, width)
    if stroke < _THIN:
        level = _thickened(level, scale, (_NORMAL - stroke) * max(height, width) / 20)
        scale = min(height / level.shape[0], width / level.shape[1])
    rows, columns = (max(1, round(size * scale)) for size in level.shape)
    drawn = _resized(level, rows, columns)
    top = np.percentile(drawn[drawn > 0.5 * drawn.max()], 75)
    return np.asarray(np.clip(drawn * (255 / max(float(top), 1e-6)), 0, 255), np.float32)


def _stroke_width(level: Floats) -> float:
    """Twice the area over the perimeter, in pixels: the width of a long stroke.

    Measured in a smaller copy: the dots of a dithered or noisy picture have edges of their own.
    """
    shrunk = max(1.0, float(max(level.shape)) / _MEASURED)
    rows, columns = (max(1, round(size / shrunk)) for size in level.shape)
    level = _resized(level, rows, columns)
    mask = np.pad(level > _CORE, 1).astype(np.int8)
    perimeter = sum(int(np.abs(np.diff(mask, axis=axis)).sum()) for axis in (0, 1))
    return 2 * shrunk * float(mask.sum()) / max(perimeter, 1)


def _thickened(level: Floats, scale: float, by: float) -> Floats:
    """Strokes made wider by `by` pixels of the last box, with room for them."""
    fine = max(scale * _FINE, 1e-3)
    rows, columns = (max(1, round(size * fine)) for size in level.shape)
    pad = max(1, round(by * _FINE / 2))
    image = Image.fromarray(np.pad(_resized(level, rows, columns), pad))
    grey = Image.fromarray(np.clip(np.asarray(image) * 255, 0, 255).astype(np.uint8))
    grown = grey.filter(ImageFilter.MaxFilter(2 * pad + 1))
    return np.asarray(np.asarray(grown) / 255, np.float32)


def _centred(drawn: Floats, height: int, width: int) -> Pixels:
    """On (height, width), the centre of mass in its middle as far as nothing is cut off."""
    out = np.zeros((height, width), np.uint8)
    total = float(drawn.sum())
    place = []
    for axis, size in ((0, height), (1, width)):
        length = drawn.shape[axis]
        middle = float((drawn.sum(1 - axis) * np.arange(length)).sum()) / total
        place.append(min(max(round(size / 2 - middle), 0), size - length))
    y, x = place
    out[y : y + drawn.shape[0], x : x + drawn.shape[1]] = np.rint(drawn)
    return out


def _resized(level: Floats, rows: int, columns: int) -> Floats:
    if level.shape == (rows, columns):
        return level
    down = rows <= level.shape[0]
    filter = Image.Resampling.BOX if down else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(level).resize((columns, rows), filter))
