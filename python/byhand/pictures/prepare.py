"""Turn a picture of a digit into an image like MNIST's.

MNIST's images have the value 255 for full ink and 0 for paper. The digit fits into 20 x 20 pixels,
and its centre of mass is in the middle of 28 x 28 pixels.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from byhand.models.picture_form import is_in_form

from .ink import Floats, Pixels
from .marks import Mark, largest, marks
from .read import PictureError

# The side of the box into which the ink is scaled, as a share of the image's side.
_BOX = 20 / 28

# A pixel belongs to a stroke if its ink, from 0 (paper) to 1 (full ink), is more than this.
_CORE = 0.5

# Widths of strokes in pixels, for a box of 20 x 20. Strokes thinner than `_THIN` are thickened to
# `_NORMAL`. 90 % of MNIST's images have strokes from 1.3 to 3.1 pixels wide.
_THIN = 1.3
_NORMAL = 2.0
# The width of strokes is measured in a copy of the picture. The longer side of the copy has at most
# this number of pixels.
_MEASURED = 64
# Strokes are thickened in a copy of the ink that is larger, by this factor, than the ink in the
# final image.
_FINE = 6


class BlankError(PictureError):
    """The picture has no ink."""


def prepare(pixels: Pixels, height: int = 28, width: int = 28) -> Pixels:
    """Turn a picture of one digit into an image like MNIST's.

    Ink is everything that differs clearly from the paper around it. It may have any colour and may
    be darker or lighter than the paper. Shadows, printed lines and specks are removed. If the
    picture has several marks, the image shows the largest mark. (`marks` returns all of them.) A
    picture that is like MNIST's images already is returned as it is.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, 1 or 3), uint8
        The picture.
    height, width : int
        The size of the image.

    Returns
    -------
    ndarray, shape (height, width), uint8
        The image, with 255 for full ink and 0 for paper.

    Raises
    ------
    BlankError
        If the picture has no ink.
    """
    if is_prepared(pixels, height, width):
        return pixels[..., 0]
    return image_of(main_mark(marks(pixels)), height, width)


def main_mark(found: list[Mark]) -> Mark:
    """Return the mark that has the most ink.

    Parameters
    ----------
    found : list of Mark
        The marks of a picture.

    Returns
    -------
    Mark
        The largest mark.

    Raises
    ------
    BlankError
        If the list is empty.
    """
    if not found:
        raise BlankError("blank: the picture has no ink")
    return largest(found)


def image_of(mark: Mark, height: int = 28, width: int = 28) -> Pixels:
    """Turn a mark into an image like MNIST's.

    Parameters
    ----------
    mark : Mark
        The mark.
    height, width : int
        The size of the image.

    Returns
    -------
    ndarray, shape (height, width), uint8
        The image, with 255 for full ink and 0 for paper.
    """
    return _centred(_fitted(mark.level, *_box(height, width)), height, width)


def is_prepared(pixels: Pixels, height: int, width: int) -> bool:
    """Return true if a picture is an image like MNIST's already.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C), uint8
        The picture.
    height, width : int
        The size that the image must have.

    Returns
    -------
    bool
        Whether the picture is grey, has this size and needs no preparation.
    """
    return pixels.shape == (height, width, 1) and is_in_form(pixels[..., 0], _box(height, width))


def _box(height: int, width: int) -> tuple[int, int]:
    return max(1, round(_BOX * height)), max(1, round(_BOX * width))


def plain(pixels: Pixels, channels: int, height: int, width: int) -> Pixels:
    """Resize a picture, and change nothing else.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, 1 or 3), uint8
        The picture.
    channels : {1, 3}
        The number of channels of the image. If it is 1, colour becomes grey: the weighted mean of
        red, green and blue that approximates their brightness (luma).
    height, width : int
        The size of the image.

    Returns
    -------
    ndarray, shape (height, width) or (3, height, width), uint8
        The image.

    Raises
    ------
    PictureError
        If `channels` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise PictureError(f"the model takes {channels} channels, but pictures have 1 or 3")
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image = image.convert("L" if channels == 1 else "RGB")
    resized = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    return resized if channels == 1 else np.ascontiguousarray(resized.transpose(2, 0, 1))


# --------------------------------------------------------------------------------------------------
# Fit the ink into the image


def _fitted(level: Floats, height: int, width: int) -> Floats:
    """Resize the ink to the largest size that fits into a box of (height, width).

    The values of the result are from 0 to 255. The aspect ratio stays the same. Thin strokes are
    thickened.
    """
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
    """Return the mean width of the strokes in pixels of `level`: 2 * area / perimeter.

    For a long rectangle, this is its width. The width is measured in a smaller copy, because the
    single dots of a dithered or noisy picture would add their own edges to the perimeter.
    """
    shrunk = max(1.0, float(max(level.shape)) / _MEASURED)
    rows, columns = (max(1, round(size / shrunk)) for size in level.shape)
    level = _resized(level, rows, columns)
    mask = np.pad(level > _CORE, 1).astype(np.int8)
    perimeter = sum(int(np.abs(np.diff(mask, axis=axis)).sum()) for axis in (0, 1))
    return 2 * shrunk * float(mask.sum()) / max(perimeter, 1)


def _thickened(level: Floats, scale: float, by: float) -> Floats:
    """Return the ink with strokes that are wider by `by` pixels of the final image.

    `scale` is the size of the ink in the final image divided by the size of `level`. The result is
    larger than the ink in the final image by the factor `_FINE`, and has a margin for the wider
    strokes.
    """
    fine = max(scale * _FINE, 1e-3)
    rows, columns = (max(1, round(size * fine)) for size in level.shape)
    pad = max(1, round(by * _FINE / 2))
    image = Image.fromarray(np.pad(_resized(level, rows, columns), pad))
    grey = Image.fromarray(np.clip(np.asarray(image) * 255, 0, 255).astype(np.uint8))
    grown = grey.filter(ImageFilter.MaxFilter(2 * pad + 1))
    return np.asarray(np.asarray(grown) / 255, np.float32)


def _centred(drawn: Floats, height: int, width: int) -> Pixels:
    """Place the ink in an image so that its centre of mass is in the middle.

    If the ink would then reach beyond the edge of the image, it is moved back inside.
    """
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
