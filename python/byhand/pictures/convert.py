"""Convert picture files to the images that a model takes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from byhand.models import Model

from .drawn import drawn_marks
from .ink import Floats
from .marks import Box, Mark, marks
from .prepare import image_of, is_prepared, main_mark, plain
from .read import Picture, PictureError, PictureWarning, read_picture


def image_for(
    model: Model, source: Picture, pictures: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read a picture and convert it to the image that a model takes.

    Parameters
    ----------
    model : Model
        The model that will get the image.
    source : path, bytes or PIL.Image.Image
        A file, the content of a file, or an image.
    pictures : {"digits", "plain"}, optional
        How to prepare the picture: with `prepare` or with `plain`. By default it is prepared as
        the model's training images were.

    Returns
    -------
    image : ndarray, shape (H, W) or (C, H, W), uint8
        The image in the size of the model's input. It has two dimensions if it is grey.
    pixels : ndarray, shape (height, width, 1 or 3), uint8
        The picture, as `read_picture` returns it.

    Raises
    ------
    PictureError
        If the picture cannot be read. It is a BlankError if the picture has no ink.
    OSError
        If the file cannot be opened.
    ValueError
        If the model cannot take pictures that are prepared in this way.
    """
    way = model.preparation(pictures)
    pixels = read_picture(source)
    return as_image(pixels, model.input_shape, way), pixels


@dataclass(frozen=True)
class Symbols:
    """The symbols of a picture, such as digits, in reading order.

    Parameters
    ----------
    images : list of ndarray, shape (H, W) or (C, H, W), uint8
        The image of each symbol in the size of the model's input.
    boxes : list of (top, left, bottom, right)
        The position of each symbol, as fractions of the picture's height and width.
    main : int
        The index of the largest symbol.
    strokes : bool
        Whether the largest symbol is drawn with strokes. If it is not, it is a blob, such as a hole
        in the paper or a stain.
    pixels : ndarray, shape (height, width, 1 or 3), uint8
        The picture.
    inks : list of ndarray, shape (H, W), float32
        The ink of each symbol, cut out along its box: about 1 for full ink and 0 for paper. The
        list is empty if the whole picture counts as one symbol.
    """

    images: list[NDArray[np.uint8]]
    boxes: list[Box]
    main: int
    strokes: bool
    pixels: NDArray[np.uint8]
    inks: list[Floats]


def symbols_for(model: Model, source: Picture, pictures: str | None = None) -> Symbols:
    """Find all symbols of a picture and convert each to the image that a model takes.

    Parameters
    ----------
    model : Model
        The model that will get the images.
    source : path, bytes or PIL.Image.Image
        A file, the content of a file, or an image.
    pictures : {"digits", "plain"}, optional
        How to prepare the picture, as in `image_for`. With "plain", or if the picture is like
        MNIST's images already, the whole picture counts as one symbol.

    Returns
    -------
    Symbols
        The images and positions of the symbols.

    Raises
    ------
    PictureError
        If the picture cannot be read. It is a BlankError if the picture has no ink.
    OSError
        If the file cannot be opened.
    ValueError
        If the model cannot take pictures that are prepared in this way.
    """
    way = model.preparation(pictures)
    pixels = read_picture(source)
    height, width = model.input_shape[1:]
    if way != "digits" or is_prepared(pixels, height, width):
        image = as_image(pixels, model.input_shape, way)
        return _whole(image, pixels)
    return _symbols(marks(pixels), height, width, pixels)


def symbols_of_drawing(
    model: Model, ink: NDArray[np.uint8], pictures: str | None = None, *, light: bool = False
) -> Symbols:
    """Find all symbols of a drawing and convert each to the image that a model takes.

    A drawing says itself where its ink is. So the search for paper, shadows and printed lines,
    which `symbols_for` needs for photographs, is left out. The rest of the preparation is the same.

    Parameters
    ----------
    model : Model
        The model that will get the images.
    ink : ndarray, shape (height, width), uint8
        The drawing: 255 for full ink and 0 for paper.
    pictures : {"digits", "plain"}, optional
        How to prepare the drawing, as in `image_for`. With "plain", the whole drawing counts as one
        symbol.
    light : bool
        With "plain", whether the ink is white and the paper black. By default, the ink is black and
        the paper white.

    Returns
    -------
    Symbols
        The images and positions of the symbols.

    Raises
    ------
    PictureError
        If the model takes neither 1 nor 3 channels. It is a BlankError if the drawing has no ink.
    ValueError
        If the model cannot take pictures that are prepared in this way.
    """
    way = model.preparation(pictures)
    pixels = ink[..., np.newaxis]
    if way != "digits":
        pixels = pixels if light else 255 - pixels
        return _whole(as_image(pixels, model.input_shape, way), pixels)
    height, width = model.input_shape[1:]
    return _symbols(drawn_marks(ink), height, width, pixels)


def _whole(image: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> Symbols:
    return Symbols([image], [(0.0, 0.0, 1.0, 1.0)], 0, True, pixels, [])


def _symbols(found: list[Mark], height: int, width: int, pixels: NDArray[np.uint8]) -> Symbols:
    """Convert the marks of a picture to images of this height and width."""
    largest = main_mark(found)
    images = [image_of(mark, height, width) for mark in found]
    main = next(i for i, mark in enumerate(found) if mark is largest)
    boxes, inks = [mark.box for mark in found], [mark.level for mark in found]
    return Symbols(images, boxes, main, largest.is_stroke, pixels, inks)


def as_image(pixels: NDArray[np.uint8], shape: Sequence[int], pictures: str) -> NDArray[np.uint8]:
    """Prepare the pixels of a picture for a model.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 1 or 3), uint8
        The picture.
    shape : (channels, height, width)
        The shape of the model's input.
    pictures : {"digits", "plain"}
        How to prepare the picture: with `prepare` or with `plain`.

    Returns
    -------
    ndarray, shape (H, W) or (C, H, W), uint8
        The image. It has two dimensions if it is grey.

    Raises
    ------
    PictureError
        If the model takes neither 1 nor 3 channels. With "digits", it is a BlankError if the
        picture has no ink.
    """
    return image_and_marks(pixels, shape, pictures)[0]


def image_and_marks(
    pixels: NDArray[np.uint8], shape: Sequence[int], pictures: str
) -> tuple[NDArray[np.uint8], int]:
    """Prepare the pixels of a picture for a model, and count the marks of the picture.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 1 or 3), uint8
        The picture.
    shape : (channels, height, width)
        The shape of the model's input.
    pictures : {"digits", "plain"}
        How to prepare the picture: with `prepare` or with `plain`.

    Returns
    -------
    image : ndarray, shape (H, W) or (C, H, W), uint8
        The image of the largest mark with "digits", and of the whole picture with "plain".
    count : int
        The number of marks. It is 1 with "plain", and if the picture is like MNIST's images
        already.

    Raises
    ------
    PictureError
        If the model takes neither 1 nor 3 channels. With "digits", it is a BlankError if the
        picture has no ink.
    """
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
    """Read several pictures and convert each to the image that a model takes.

    Parameters
    ----------
    model : Model
        The model that will get the images.
    sources : sequence of path, bytes or PIL.Image.Image
        Files, contents of files, or images.
    pictures : {"digits", "plain"}, optional
        How to prepare the pictures, as in `image_for`.

    Returns
    -------
    ndarray, shape (N, C, H, W), uint8
        One image per picture.

    Raises
    ------
    PictureError
        If a picture cannot be read. It is a BlankError if a picture has no ink. The message names
        the picture.
    OSError
        If a file cannot be opened.
    ValueError
        If the model cannot take pictures that are prepared in this way.

    Warns
    -----
    PictureWarning
        If a picture has several marks. Its image shows only the largest mark.
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
        more = (
            f" (other pictures with several marks: {len(several) - 1:,})"
            if len(several) > 1
            else ""
        )
        warnings.warn(
            f"{several[0]}{more}; only the largest is read: crop the picture, or use "
            "byhand.pictures.symbols_for",
            PictureWarning,
            stacklevel=_callers_level(),
        )
    return images


def _callers_level() -> int:
    """Return the `stacklevel` with which `warnings.warn` names the line that called byhand."""
    level, frame = 0, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals["__name__"].split(".")[0] == "byhand":
        level, frame = level + 1, frame.f_back
    return level + 1
