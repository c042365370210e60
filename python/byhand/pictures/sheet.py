"""The sheet of `byhand predict --show`: each picture, what the model saw, and its answer."""

from __future__ import annotations

import functools
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# A sheet of more cards would be a picture that few programs open.
MOST_CARDS = 400

_SIDE = 112
_GAP = 8
_TITLE = 18
_LINE = 11
_BARS = 150
_MOST_BARS = 10
_ACROSS = 3

_PAPER, _FRAME, _TEXT, _BAR, _BEST, _ERROR = (
    (255, 255, 255),
    (200, 200, 200),
    (30, 30, 30),
    (160, 180, 210),
    (30, 90, 180),
    (190, 30, 30),
)


@dataclass(frozen=True)
class Card:
    """A file's part of the sheet. picture, image: what was read and what the model took, None
    where the file has an error; probabilities: (classes,), None where answer is all there is.
    """

    title: str
    picture: Image.Image | None = None
    image: NDArray[np.uint8] | None = None
    probabilities: NDArray[np.float32] | None = None
    answer: str = ""
    error: str = ""


def thumbnail(pixels: NDArray[np.uint8]) -> Image.Image:
    """(H, W, 1 or 3) small enough to be kept until the sheet is drawn."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    scale = _SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC)


def sheet_png(cards: Sequence[Card], names: Sequence[str]) -> bytes:
    """The bytes of a PNG file. names: of the classes."""
    across = min(_ACROSS, len(cards))
    width, height = 2 * _SIDE + _BARS + 4 * _GAP, _TITLE + _SIDE + 2 * _GAP
    down = -(-len(cards) // across)
    sheet = Image.new("RGB", (across * width, down * height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, card in enumerate(cards):
        _draw_card(sheet, draw, card, names, number % across * width, number // across * height)
    return png(sheet)


def png(image: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _draw_card(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    card: Card,
    names: Sequence[str],
    left: int,
    top: int,
) -> None:
    x, y = left + _GAP, top + _GAP
    draw.text((x, y), _fitting(draw, card.title, 2 * _SIDE + _BARS + _GAP), _TEXT, _font())
    y += _TITLE
    if card.picture is None or card.image is None:
        text = "\n".join(textwrap.wrap(_drawable(card.error), 56)[:6])
        draw.text((x, y), text, _ERROR, _font())
        return
    grey = card.image.ndim == 2
    image = Image.fromarray(card.image if grey else card.image.transpose(1, 2, 0)).convert("RGB")
    scale = _SIDE / max(image.size)
    shown = image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.NEAREST
    )
    for picture in (card.picture, shown):
        sheet.paste(picture, (x, y))
        draw.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=_FRAME)
        x += _SIDE + _GAP
    if card.probabilities is None:
        draw.text((x, y), card.answer, _TEXT, _font())
    else:
        _draw_bars(draw, card.probabilities, names, x, y)


def _draw_bars(
    draw: ImageDraw.ImageDraw,
    probabilities: NDArray[np.float32],
    names: Sequence[str],
    x: int,
    y: int,
) -> None:
    """The likeliest ten classes, in their own order."""
    font = _font()
    best = int(probabilities.argmax())
    for line, k in enumerate(np.sort(np.argsort(-probabilities)[:_MOST_BARS])):
        top = y + _LINE * line
        colour = _BEST if k == best else _BAR
        name = _fitting(draw, names[k], 44)
        indent = 46 if max(map(len, names)) > 2 else 14
        draw.text((x, top), name, _TEXT, font)
        length = round((_BARS - indent - 40) * float(probabilities[k]))
        draw.rectangle((x + indent, top + 2, x + indent + length, top + _LINE - 2), fill=colour)
        if probabilities[k] >= 0.005:
            text = f"{100 * probabilities[k]:.1f} %"
            draw.text((x + indent + length + 4, top), text, _TEXT, font)


def _fitting(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """Its end, where it is too long: the end of a path tells more than its start."""
    text = _drawable(text)
    if draw.textlength(text, _font()) <= width:
        return text
    while len(text) > 1 and draw.textlength("..." + text, _font()) > width:
        text = text[1:]
    return "..." + text


def _drawable(text: str) -> str:
    """One line of valid Unicode: a file's name may be any bytes."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """matplotlib's own: Pillow's has letters of English alone."""
    import matplotlib

    font = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
    return ImageFont.truetype(str(font), 9)  # Pillow 10 takes no Path
