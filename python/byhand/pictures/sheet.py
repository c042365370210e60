"""Draw the sheets of `byhand predict --show`, `byhand evaluate --worst` and `byhand data show`.

A sheet is one picture that shows many images, with the answers of a model or other text.
"""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from byhand.plots.figure import DEFAULT_FONT, escaped, font_for

from .encode import png

# The largest number of cards of a sheet. Many programs do not open larger pictures.
MOST_CARDS = 400

# All sizes are in pixels.
_SIDE = 168  # the longer side of each image: 6 times the 28 pixels of MNIST
_GAP = 14
_SMALL, _NORMAL, _LARGE = 14, 18, 30  # font sizes
_BAR_LINE = 16  # the distance from one bar to the next
_BAR = 120  # the length of a bar for the probability 1
_MOST_BARS = 10
# The largest width of a class name beside a bar, and of a text below a picture. Longer texts are
# cut.
_MOST_NAME = 200
_MOST_WIDTH = 340

_PAPER, _FRAME, _TEXT, _FAINT, _BAR_COLOUR, _BEST, _ERROR = (
    (255, 255, 255),
    (200, 200, 200),
    (30, 30, 30),
    (110, 110, 110),
    (160, 180, 210),
    (30, 90, 180),
    (190, 30, 30),
)


@dataclass(frozen=True)
class Card:
    """The entry of one file or, with --split, one symbol in the sheet of `byhand predict --show`.

    Parameters
    ----------
    title : str
        The text above the pictures, such as the file name.
    picture : PIL.Image.Image, optional
        The picture, as `thumbnail` returns it. It is not given if the file has an error.
    image : ndarray, shape (H, W) or (C, H, W), uint8, optional
        The image that the model got. It is not given if the file has an error.
    probabilities : ndarray, shape (classes,), float32, optional
        The probability of each class. It is not given if the model's answer is a number.
    answer : str
        The answer as text. It is drawn only if there are no probabilities.
    error : str
        The error, if there is no picture.
    """

    title: str
    picture: Image.Image | None = None
    image: NDArray[np.uint8] | None = None
    probabilities: NDArray[np.float32] | None = None
    answer: str = ""
    error: str = ""


@dataclass(frozen=True)
class Tile:
    """An image of a data set with lines of text below it.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (C, H, W), uint8
        The image.
    lines : sequence of str
        The lines of text. The first has a larger font size.
    """

    image: NDArray[np.uint8]
    lines: Sequence[str]


def thumbnail(pixels: NDArray[np.uint8]) -> Image.Image:
    """Make the small picture of a card. It takes little memory until the sheet is drawn.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, 1 or 3), uint8
        The picture.

    Returns
    -------
    PIL.Image.Image
        The picture in the mode RGB, with 168 pixels on its longer side.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    return _resized(image, Image.Resampling.BICUBIC)


def tiles_png(tiles: Sequence[Tile], across: int = 5) -> bytes:
    """Draw tiles in rows.

    All columns have the same width: the width of the widest text, but at least 168 pixels (the
    longer side of an image) and at most 340 pixels, plus a margin.

    Parameters
    ----------
    tiles : sequence of Tile
        The tiles, row by row.
    across : int
        The number of tiles per row.

    Returns
    -------
    bytes
        The content of a PNG file.
    """
    widest = max((_width(line, size) for tile in tiles for line, size in _sized(tile)), default=0)
    width = max(_SIDE, min(widest, _MOST_WIDTH)) + 2 * _GAP
    text = max((sum(_height(size) for _, size in _sized(tile)) for tile in tiles), default=0)
    height = _SIDE + text + 2 * _GAP
    across = max(1, min(across, len(tiles)))
    down = max(1, -(-len(tiles) // across))
    sheet = Image.new("RGB", (across * width, down * height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        left, top = number % across * width, number // across * height + _GAP
        shown = _enlarged(tile.image)
        _paste(sheet, draw, shown, left + (width - shown.width) // 2, top)
        y = top + _SIDE + 4
        for line, size in _sized(tile):
            fitted = _cut(line, size, width - _GAP)
            x = left + (width - _width(fitted, size)) // 2
            draw.text((x, y), fitted, _TEXT if size > _SMALL else _FAINT, _font(fitted, size))
            y += _height(size)
    return png(sheet)


def _sized(tile: Tile) -> list[tuple[str, int]]:
    lines = [_drawable(line) for line in tile.lines]
    return [(line, _NORMAL if i == 0 else _SMALL) for i, line in enumerate(lines)]


def sheet_png(cards: Sequence[Card], names: Sequence[str]) -> bytes:
    """Draw cards in rows.

    Parameters
    ----------
    cards : sequence of Card
        At least one card.
    names : sequence of str
        The name of each class.

    Returns
    -------
    bytes
        The content of a PNG file.
    """
    names = [_drawable(name) for name in names]
    name_width = min(_MOST_NAME, max((_width(name, _SMALL) for name in names), default=0))
    panel = name_width + _BAR + 70
    width = 2 * _SIDE + panel + 4 * _GAP
    height = _height(_NORMAL) + max(_SIDE, _height(_LARGE) + _MOST_BARS * _BAR_LINE) + 2 * _GAP
    across = min(len(cards), max(3, round(math.sqrt(len(cards) / 2))))
    sheet = Image.new("RGB", (across * width, -(-len(cards) // across) * height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, card in enumerate(cards):
        x, y = number % across * width + _GAP, number // across * height + _GAP
        title = _cut(_drawable(card.title), _NORMAL, width - 2 * _GAP, keep_end=True)
        draw.text((x, y), title, _TEXT, _font(title, _NORMAL))
        y += _height(_NORMAL) + 2
        if card.picture is None or card.image is None:
            _draw_error(draw, card.error, x, y, width - 2 * _GAP)
            continue
        for picture in (card.picture, _enlarged(card.image)):
            _paste(sheet, draw, picture, x, y)
            x += _SIDE + _GAP
        answer, size = _drawable(card.answer), _LARGE
        if card.probabilities is not None:
            best = int(card.probabilities.argmax())
            answer = f"{names[best]}  {100 * card.probabilities[best]:.1f} %"
        while size > _NORMAL and _width(answer, size) > panel:
            size -= 2
        answer = _cut(answer, size, panel)
        draw.text((x, y - 4), answer, _BEST, _font(answer, size))
        if card.probabilities is not None:
            _draw_bars(draw, card.probabilities, names, name_width, x, y + _height(_LARGE))
    return png(sheet)


def _draw_error(draw: ImageDraw.ImageDraw, error: str, x: int, y: int, width: int) -> None:
    text = _drawable(error)
    letters = max(10, len(text) * width // max(1, _width(text, _NORMAL)) - 4)
    for line in textwrap.wrap(text, letters)[: _SIDE // _height(_NORMAL)]:
        draw.text((x, y), line, _ERROR, _font(line, _NORMAL))
        y += _height(_NORMAL)


def _draw_bars(
    draw: ImageDraw.ImageDraw,
    probabilities: NDArray[np.float32],
    names: Sequence[str],
    name_width: int,
    x: int,
    y: int,
) -> None:
    """Draw a bar for each of the ten most probable classes, in the order of the classes."""
    best = int(probabilities.argmax())
    bars = x + name_width + 8
    for k in np.sort(np.argsort(-probabilities, kind="stable")[:_MOST_BARS]):
        name = _cut(names[k], _SMALL, name_width)
        draw.text((x + name_width - _width(name, _SMALL), y), name, _TEXT, _font(name, _SMALL))
        end = bars + round(_BAR * float(probabilities[k]))
        draw.rectangle((bars, y + 3, end, y + 12), fill=_BEST if k == best else _BAR_COLOUR)
        if probabilities[k] >= 0.0005:
            text = f"{100 * probabilities[k]:.1f} %"
            draw.text((end + 5, y), text, _TEXT, _font(text, _SMALL))
        y += _BAR_LINE


def _paste(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, picture: Image.Image, x: int, y: int
) -> None:
    sheet.paste(picture, (x, y))
    draw.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=_FRAME)


def _enlarged(image: NDArray[np.uint8]) -> Image.Image:
    """Enlarge the image that a model gets, (H, W) or (C, H, W). Each pixel becomes a square."""
    if image.ndim == 3:
        image = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
    return _resized(Image.fromarray(image).convert("RGB"), Image.Resampling.NEAREST)


def _resized(image: Image.Image, method: Image.Resampling) -> Image.Image:
    scale = _SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, method)


def _cut(text: str, size: int, width: int, *, keep_end: bool = False) -> str:
    """Return `text`. If it is wider than `width` pixels, replace its end or its start by "..."."""
    if _width(text, size) <= width:
        return text
    kept = text
    while len(kept) > 1 and _width(kept + "...", size) > width:
        kept = kept[1:] if keep_end else kept[:-1]
    return f"...{kept}" if keep_end else f"{kept}..."


def _drawable(text: str) -> str:
    """Return the text as one line. Escape its letters if no installed font has all of them."""
    text = " ".join(text.split())
    return text if font_for(text) is not None else escaped(text)


def _width(text: str, size: int) -> int:
    return math.ceil(_font(text, size).getlength(text))


def _height(size: int) -> int:
    return math.ceil(1.3 * size)


def _font(text: str, size: int) -> ImageFont.FreeTypeFont:
    return _load_font(font_for(text) or DEFAULT_FONT, size)


@functools.cache
def _load_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
