"""Picture files as the images that a model takes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from byhand.models import Model

from .marks import Box, marks
from .prepare import image_of, is_prepared, main_mark, plain
from .read import Picture, PictureError, PictureWarning, read_picture


def image_for(
    model: Model, source: Picture, pictures: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(image, pixels): what the model takes, uint8 (H, W) or (C, H, W), and the picture itself.

    source: a path, the bytes of a file, or a PIL image. pictures: "digits" (`prepare`) or "plain"
    (`plain`) instead of the model's own way. Errors of `read_picture` and `prepare`; ValueError if
    the model cannot take pictures that way.
    """
    way = model.preparation(pictures)
    pixels = read_picture(source)
    return as_image(pixels, model.input_shape, way), pixels


@dataclass(frozen=True)
class Symbols:
    """The symbols of a picture, in reading order, as the images that a model takes.

    images: one per symbol. boxes: where each is, (top, left, bottom, right) in parts of the
    picture. main: the number of the largest. strokes: whether that one is drawn with strokes; if
    not, it is a blob, such as a hole or a stain. pixels: the picture.
    """

    images: list[NDArray[np.uint8]]
    boxes: list[Box]
    main: int
    strokes: bool
    pixels: NDArray[np.uint8]


def symbols_for(model: Model, source: Picture, pictures: str | None = None) -> Symbols:
    """All symbols of a picture; the arguments and the errors are those of `image_for`.

    A picture that is only resized ("plain") counts as one symbol.
    """
    way = model.preparation(pictures)
    pixels = read_picture(source)
    height, width = model.input_shape[1:]
    if way != "digits" or is_prepared(pixels, height, width):
        image = as_image(pixels, model.input_shape, way)
        return Symbols([image], [(0.0, 0.0, 1.0, 1.0)], 0, True, pixels)
    found = marks(pixels)
    largest = main_mark(found)
    images = [image_of(mark, height, width) for mark in found]
    main = next(i for i, mark in enumerate(found) if mark is largest)
    return Symbols(images, [mark.box for mark in found], main, largest.is_stroke, pixels)


def as_image(pixels: NDArray[np.uint8], shape: Sequence[int], pictures: str) -> NDArray[np.uint8]:
    """Pixels (H, W, 1 or 3), prepared as "digits" or "plain" for images of `shape` (C, H, W)."""
    return image_and_marks(pixels, shape, pictures)[0]


def image_and_marks(
    pixels: NDArray[np.uint8], shape: Sequence[int], pictures: str
) -> tuple[NDArray[np.uint8], int]:
    """`as_image` and the number of marks of the picture, of which it shows the largest."""
    channels, height, width = shape
    if pictures != "digits":
        return plain(pixels, channels, height, width), 1
    if is_prepared(pixels, height, width):
        return pixels[..., 0], 1
    found = marks(pixels)
    return image_of(main_mark(found), height, width), len(found)


def images_for(
    model: Model, sources: Sequence[Picture], pictures: str | None = None
) -> NDArray[np.uint8]:
    """`image_for` of each, (N, C, H, W); an error of a picture says which one it is.

    A PictureWarning tells of pictures with several marks, of which only the largest is used.
    """
    way = model.preparation(pictures)
    images = np.empty((len(sources), *model.input_shape), np.uint8)
    several = []
    for i, source in enumerate(sources):
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else f"picture {i}"
        try:
            images[i], count = image_and_marks(read_picture(source), model.input_shape, way)
        except PictureError as error:
            raise type(error)(f"{name!s}: {error}") from None
        if count > 1:
            several.append(f"{name!s}: {count} marks found")
    if several:
        more = f" (and several in {len(several) - 1:,} of the others)" if len(several) > 1 else ""
        warnings.warn(
            f"{several[0]}{more}; this reads one digit: crop the picture, or use "
            "byhand.pictures.symbols_for",
            PictureWarning,
            stacklevel=_callers_level(),
        )
    return images


def _callers_level() -> int:
    """The level of the stack, as `warnings.warn` counts it, at which byhand was called."""
    level, frame = 0, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals["__name__"].split(".")[0] == "byhand":
        level, frame = level + 1, frame.f_back
    return level + 1
