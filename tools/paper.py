"""Draws pictures of handwritten digits on paper, like the photographs and scans that people make.

Beside the digit, a picture shows lines of print, the table, a shadow and so on. It is drawn in
three steps: ink and print on a flat sheet, then the sheet on a table, then the light and the
camera. The height of the digit is the unit of length, so that a picture may have any resolution.
Each random choice is drawn from the generator `rng`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from byhand.pictures.drawings import strength_of
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Rng = np.random.Generator

# A digit to write: which digit it is, and the strength of its ink, from 0 to 1, as a square array.
Mark = tuple[int, Floats]

# Colours (red, green, blue) of pens, of printed lines and of tables.
_PENS = ((25, 25, 30), (20, 30, 110), (35, 45, 150), (10, 10, 10), (150, 25, 35), (20, 90, 50))
_PRINTS = ((40, 40, 40), (0, 0, 0), (90, 90, 95), (70, 90, 160), (190, 70, 70), (60, 130, 90))
_TABLES = ((120, 80, 50), (160, 120, 80), (70, 45, 30), (90, 90, 95), (40, 40, 45), (180, 150, 115))


@dataclass
class Sheet:
    """A sheet of paper, on which `paint` writes and `draw_line` and `lay_print` print.

    pixels : the colours of the sheet, shape (height, width, 3), from 0 to 255.
    unit : the height of the digit in pixels.
    print_layer : the lines of print, as strengths from 0 to 255.
    """

    pixels: Floats
    unit: float
    print_layer: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        height, width = self.pixels.shape[:2]
        self.print_layer = Image.new("L", (width, height))

    def draw_line(self, points: list[tuple[float, float]], width: float) -> None:
        """Draw a line with smooth edges through points (x, y), in pixels, into the print layer."""
        fine = 2 if max(self.print_layer.size) < 1200 else 1
        size = (self.print_layer.width * fine, self.print_layer.height * fine)
        layer = Image.new("L", size)
        path = [(x * fine, y * fine) for x, y in points]
        ImageDraw.Draw(layer).line(path, fill=255, width=max(1, round(width * fine)))
        layer = layer.resize(self.print_layer.size, Image.Resampling.BOX)
        merged = np.maximum(np.asarray(self.print_layer), np.asarray(layer))
        self.print_layer = Image.fromarray(merged)

    def lay_print(self, colour: tuple[float, ...], strength: float = 1.0) -> None:
        """Lay the print layer on the paper in this colour. A strength below 1 makes it fainter."""
        self._lay(np.asarray(self.print_layer, np.float32) / np.float32(255) * strength, colour)

    def paint(self, mark: Floats, top: float, left: float, size: float, colour: object) -> None:
        """Write a digit. Its square has the corner (top, left) and the side `size`, in pixels."""
        side = max(4, round(size))
        big = Image.fromarray(np.rint(mark * 255).astype(np.uint8))
        big = big.resize((side, side), Image.Resampling.BICUBIC)
        strength = np.asarray(big, np.float32) / np.float32(255)
        # The edge of a pen's line is sharper than that of an enlarged image.
        strength = np.clip((strength - 0.5) * 1.8 + 0.5, 0, 1)
        full = np.zeros(self.pixels.shape[:2], np.float32)
        y, x = round(top), round(left)
        part = full[max(y, 0) : y + side, max(x, 0) : x + side]
        cut = strength[max(-y, 0) :, max(-x, 0) :]
        part[:] = cut[: part.shape[0], : part.shape[1]]
        self._lay(full, colour)

    def _lay(self, strength: Floats, colour: object) -> None:
        ink = np.asarray(colour, np.float32)
        # Ink only darkens the paper, so darker print below it can still be seen.
        below = np.minimum(self.pixels, ink + (self.pixels - ink) * 0.08)
        self.pixels += (below - self.pixels) * strength[..., np.newaxis]


def _extent(mark: Floats) -> tuple[float, float, float, float]:
    """Return top, left, bottom and right of the ink, as fractions of the side of its square."""
    rows, columns = np.flatnonzero((mark > 0.3).any(1)), np.flatnonzero((mark > 0.3).any(0))
    n = len(mark)
    return rows[0] / n, columns[0] / n, (rows[-1] + 1) / n, (columns[-1] + 1) / n


def _noise_field(rng: Rng, height: int, width: int, coarse: float) -> Floats:
    """Return smooth noise with a standard deviation of about 1 and blobs of `coarse` pixels."""
    rows, columns = max(2, round(height / coarse)), max(2, round(width / coarse))
    small = Image.fromarray(rng.standard_normal((rows, columns)).astype(np.float32))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32)


def new_sheet(rng: Rng, height: float, width: float, unit: float) -> Sheet:
    """Return blank paper of a random shade. `height` and `width` are in digit heights."""
    h, w = round(height * unit), round(width * unit)
    shade = rng.uniform(205, 255)
    tint = np.array((0, rng.uniform(-4, 2), rng.uniform(-25, 6)))
    pixels = np.broadcast_to((shade + tint).astype(np.float32), (h, w, 3)).copy()
    pixels += (_noise_field(rng, h, w, max(2.0, unit / 12)) * rng.uniform(0, 1.5))[..., np.newaxis]
    return Sheet(pixels, unit)


def pen_colour(rng: Rng) -> NDArray[np.float64]:
    """Return a random colour of a pen."""
    return np.clip(np.array(_PENS[rng.integers(len(_PENS))]) + rng.uniform(-10, 25), 0, 255)


def write(
    sheet: Sheet, mark: Floats, y: float, x: float, colour: object, height: float | None = None
) -> tuple[float, float, float, float]:
    """Write a digit with its middle at (y, x), and return the box of its ink, all in pixels.

    The box is (top, left, bottom, right). It is `height` tall, or less if the digit is very wide.
    """
    top, left, bottom, right = _extent(mark)
    size = (height or sheet.unit) / max(bottom - top, 0.6 * (right - left))
    corner = y - (top + bottom) / 2 * size, x - (left + right) / 2 * size
    sheet.paint(mark, *corner, size, colour)
    return (
        corner[0] + top * size,
        corner[1] + left * size,
        corner[0] + bottom * size,
        corner[1] + right * size,
    )


# --------------------------------------------------------------------------------------------------
# The sheet on a table, the light and the camera


def table_top(rng: Rng, height: int, width: int) -> Floats:
    """Return a table of this size in pixels: one colour, or wood with grain in one direction."""
    base = np.array(_TABLES[rng.integers(len(_TABLES))], np.float32) * rng.uniform(0.8, 1.15)
    out = np.broadcast_to(base, (height, width, 3)).copy()
    if rng.random() < 0.7:
        grain = _noise_field(rng, height, 2 if rng.random() < 0.5 else 4, rng.uniform(3, 8))
        grain = np.asarray(Image.fromarray(grain).resize((width, height)), np.float32)
        if rng.random() < 0.5:
            grain = np.asarray(Image.fromarray(grain.T.copy()).resize((width, height)))
        out += grain[..., np.newaxis] * rng.uniform(3, 14)
    return np.asarray(out, np.float32)


def on_table(
    rng: Rng, sheet: Sheet, margins: tuple[float, float, float, float], degrees: float
) -> Floats:
    """Return a view of the sheet on a table, turned by an angle.

    `margins` are the pixels of table that are seen at the top, left, bottom and right of the sheet.
    A negative margin cuts off a part of the sheet.
    """
    top, left, bottom, right = (round(m) for m in margins)
    h, w = sheet.pixels.shape[:2]
    height, width = h + top + bottom, w + left + right
    table = table_top(rng, height, width)
    layer = Image.fromarray(
        np.dstack((np.clip(sheet.pixels, 0, 255), np.full((h, w), 255))).astype(np.uint8), "RGBA"
    )
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    cx, cy = left + w / 2, top + h / 2
    matrix = (c, s, w / 2 - c * cx - s * cy, -s, c, h / 2 + s * cx - c * cy)
    placed = layer.transform(
        (width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
    )
    rgba = np.asarray(placed, np.float32)
    alpha = rgba[..., 3:] / np.float32(255)
    if rng.random() < 0.6:  # the sheet's own shadow on the table
        blurred = Image.fromarray(rgba[..., 3].astype(np.uint8)).filter(
            ImageFilter.GaussianBlur(max(1.0, sheet.unit * 0.06))
        )
        dark = np.roll(np.asarray(blurred, np.float32) / np.float32(255), (3, 3), (0, 1))
        table *= 1 - 0.4 * dark[..., np.newaxis]
    return np.asarray(rgba[..., :3] * alpha + table * (1 - alpha), np.float32)


def turned(rng: Rng, sheet: Sheet, degrees: float) -> Floats:
    """Return a view of the sheet turned by a few degrees, cut so that only paper is seen."""
    h, w = sheet.pixels.shape[:2]
    image = Image.fromarray(np.clip(sheet.pixels, 0, 255).astype(np.uint8))
    image = image.rotate(degrees, Image.Resampling.BICUBIC)
    lost = abs(math.sin(math.radians(degrees)))
    dy, dx = math.ceil(lost * w / 2) + 1, math.ceil(lost * h / 2) + 1
    return np.asarray(np.asarray(image)[dy : h - dy, dx : w - dx], np.float32)


def photograph(rng: Rng, scene: Floats, unit: float, rough: float = 1.0) -> bytes:
    """Return a picture file of a scene, as from a scanner or a telephone.

    Light, focus, noise and file format are random. `unit` is the height of the digit in pixels. The
    noise is multiplied by `rough`.
    """
    h, w = scene.shape[:2]
    kind = rng.random()
    if kind < 0.55:  # a lamp or a window at one side
        y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
        angle = rng.uniform(0, 2 * math.pi)
        along = x * math.cos(angle) + y * math.sin(angle)
        scene = scene * (1 - rng.uniform(0, 0.3) * (along + 1.4) / 2.8)[..., np.newaxis]
        scene = scene * np.array((1, rng.uniform(0.95, 1), rng.uniform(0.82, 1)), np.float32)
    blur = rng.uniform(0, 0.015) * unit
    if blur > 0.3:
        image = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
        scene = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), np.float32)
    noise = rng.uniform(0.5, 5) * rough
    scene = scene + noise * rng.standard_normal((h, w, 1)).astype(np.float32)
    if rng.random() < 0.5:
        scene = scene + 0.6 * noise * rng.standard_normal(scene.shape).astype(np.float32)
    pixels = np.rint(np.clip(scene, 0, 255)).astype(np.uint8)
    image = Image.fromarray(pixels)
    if rng.random() < 0.25:
        image = image.convert("L")
    file = io.BytesIO()
    if rng.random() < 0.7:
        image.save(file, "JPEG", quality=int(rng.integers(45, 95)))
    else:
        image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _unit(rng: Rng, low: float = 40, high: float = 220) -> float:
    """Return a height of a digit in pixels, drawn uniformly on a logarithmic scale."""
    return float(low * (high / low) ** rng.random())


def _near(rng: Rng, size: float, room: float) -> float:
    """Return a position at most `room` pixels from the middle of a side of `size` pixels."""
    return size / 2 + rng.uniform(-room, room)


# --------------------------------------------------------------------------------------------------
# The kinds of pictures. Each function draws one picture and returns its file.


def _box(rng: Rng, marks: list[Mark]) -> bytes:
    """Draw a digit in a printed box.

    The picture shows the box with paper around it, or it is a cell of a form, cut out at its lines.
    """
    unit = _unit(rng)
    cut = rng.random() < 0.5
    high, wide = rng.uniform(1.15, 1.9), rng.uniform(1.0, 1.9)
    around = rng.uniform(-0.06, 0.15) if cut else rng.uniform(0.2, 1.0)
    sheet = new_sheet(rng, high + 2 * around, wide + 2 * around, unit)
    h, w = sheet.pixels.shape[:2]
    top, left, bottom, right = around * unit, around * unit, h - around * unit, w - around * unit
    t = unit * rng.uniform(0.015, 0.06)
    far = (
        2 * unit if cut and rng.random() < 0.6 else 0
    )  # the lines go on into the neighbouring cells
    for y in (top, bottom):
        sheet.draw_line([(left - far, y), (right + far, y)], t)
    for x in (left, right):
        sheet.draw_line([(x, top - far), (x, bottom + far)], t)
    sheet.lay_print(_PRINTS[rng.integers(len(_PRINTS))], rng.uniform(0.6, 1))
    room = max(0.0, (high - 1) / 2 - 0.03), max(0.0, (wide - 0.75) / 2 - 0.03)
    push = 1.15 if rng.random() < 0.3 else 0.8  # some digits touch the box
    write(
        sheet,
        marks[0][1],
        _near(rng, h, room[0] * unit * push),
        _near(rng, w, room[1] * unit * push),
        pen_colour(rng),
    )
    return photograph(rng, turned(rng, sheet, rng.normal(0, 1.2)), unit)


def _answer_line(rng: Rng, marks: list[Mark]) -> bytes:
    """Draw a printed line below a digit. The digit stands on it, above it or a little across it."""
    unit = _unit(rng)
    high, wide = rng.uniform(1.8, 3.5), rng.uniform(2, 5)
    sheet = new_sheet(rng, high, wide, unit)
    h, w = sheet.pixels.shape[:2]
    x, y = _near(rng, w, 0.25 * w), _near(rng, h, 0.12 * h)
    line = y + unit * (0.5 + rng.choice([rng.uniform(-0.1, 0.03), rng.uniform(0.03, 0.3)]))
    long = unit * rng.uniform(0.75, 2)
    left, right = x - long, x + long
    if rng.random() < 0.25:
        left, right = 0, w
    sheet.draw_line([(left, line), (right, line)], unit * rng.uniform(0.015, 0.06))
    sheet.lay_print(_PRINTS[rng.integers(len(_PRINTS))], rng.uniform(0.6, 1))
    write(sheet, marks[0][1], y, x, pen_colour(rng))
    return photograph(rng, turned(rng, sheet, rng.normal(0, 2)), unit)


def _grid(contrast: float) -> Callable[[Rng, list[Mark]], bytes]:
    """Return the kind whose lines have this contrast with the paper, relative to the ink's."""

    def kind(rng: Rng, marks: list[Mark]) -> bytes:
        """Draw a digit 0.9 to 2.4 squares high on squared paper, or on lined paper (15 %)."""
        unit = _unit(rng, 50, 200)
        sheet = new_sheet(rng, rng.uniform(1.5, 4), rng.uniform(1.5, 4), unit)
        h, w = sheet.pixels.shape[:2]
        step = unit / rng.uniform(0.9, 2.4)
        t = max(0.6, unit * rng.uniform(0.012, 0.04))
        offset = rng.uniform(0, step, 2)
        for y in np.arange(offset[0], h, step):
            sheet.draw_line([(-9, y), (w + 9, y)], t)
        if rng.random() < 0.85:
            for x in np.arange(offset[1], w, step):
                sheet.draw_line([(x, -9), (x, h + 9)], t)
        ink = pen_colour(rng)
        paper = np.median(sheet.pixels.reshape(-1, 3), axis=0)
        hue = np.array(((1, 1, 1), (1.1, 1, 0.75), (0.8, 1.05, 1.1))[rng.integers(3)])
        drop = contrast * float(np.mean(paper - ink)) * hue / hue.mean()
        sheet.lay_print(tuple(np.clip(paper - drop, 0, 255)))
        y, x = _near(rng, h, 0.15 * h), _near(rng, w, 0.15 * w)
        write(sheet, marks[0][1], y, x, ink)
        return photograph(rng, turned(rng, sheet, rng.normal(0, 2)), unit)

    return kind


def _desk_edge(rng: Rng, marks: list[Mark]) -> bytes:
    """Draw a sheet with the table along one or two of its sides."""
    unit = _unit(rng)
    sheet = new_sheet(rng, rng.uniform(1.6, 4), rng.uniform(1.6, 4), unit)
    h, w = sheet.pixels.shape[:2]
    y, x = _near(rng, h, max(0, h / 2 - 0.7 * unit)), _near(rng, w, max(0, w / 2 - 0.7 * unit))
    write(sheet, marks[0][1], y, x, pen_colour(rng))
    degrees = rng.normal(0, 3)
    hidden = 0.5 * max(h, w) * abs(math.sin(math.radians(degrees))) + 2
    margins = [-hidden] * 4
    first = int(rng.integers(4))
    for side in {first, (first + int(rng.choice([0, 0, 1, 3]))) % 4}:
        margins[side] = unit * rng.uniform(0.1, 1.5)
    return photograph(rng, on_table(rng, sheet, tuple(margins), degrees), unit)


def _table(rng: Rng, marks: list[Mark]) -> bytes:
    """Draw a whole sheet on a table."""
    unit = _unit(rng, 40, 160)
    sheet = new_sheet(rng, rng.uniform(1.5, 5), rng.uniform(1.5, 5), unit)
    h, w = sheet.pixels.shape[:2]
    y, x = _near(rng, h, max(0, h / 2 - 0.7 * unit)), _near(rng, w, max(0, w / 2 - 0.7 * unit))
    write(sheet, marks[0][1], y, x, pen_colour(rng))
    margins = tuple(rng.uniform(0.15, 1.5, 4) * unit)
    return photograph(rng, on_table(rng, sheet, margins, rng.normal(0, 5)), unit)


def _shadow(rng: Rng, marks: list[Mark]) -> bytes:
    """Draw a shadow with a sharp edge across the sheet, sometimes across the digit."""
    unit = _unit(rng)
    sheet = new_sheet(rng, rng.uniform(1.5, 4), rng.uniform(1.5, 4), unit)
    h, w = sheet.pixels.shape[:2]
    y, x = _near(rng, h, 0.2 * h), _near(rng, w, 0.2 * w)
    write(sheet, marks[0][1], y, x, pen_colour(rng))
    scene = turned(rng, sheet, rng.normal(0, 2))
    h, w = scene.shape[:2]
    angle = rng.uniform(0, 2 * math.pi)
    rows, columns = np.mgrid[:h, :w].astype(np.float32)
    off = (columns - w * rng.uniform(0.15, 0.85)) * math.cos(angle)
    off += (rows - h * rng.uniform(0.15, 0.85)) * math.sin(angle)
    if rng.random() < 0.3:  # the shadow has a corner, like that of a hand or a book
        other = angle + rng.uniform(1.2, 1.9)
        second = (columns - w * rng.uniform(0.2, 0.8)) * math.cos(other)
        off = np.minimum(off, second + (rows - h * rng.uniform(0.2, 0.8)) * math.sin(other))
    edge = unit * rng.uniform(0.005, 0.06)
    dark = rng.uniform(0.25, 0.6) / (1 + np.exp(np.clip(-off / edge, -50, 50)))
    return photograph(rng, scene * (1 - dark[..., np.newaxis]), unit)


def _holes(rng: Rng, marks: list[Mark]) -> bytes:
    """Draw one, two or four punch holes near an edge. They are dark or show the table."""
    unit = _unit(rng, 30, 120)
    side = int(rng.integers(4))  # left, right, top or bottom edge
    high, wide = rng.uniform(3, 6, 2)
    sheet = new_sheet(rng, high, wide, unit)
    h, w = sheet.pixels.shape[:2]
    along, across = (h, w) if side < 2 else (w, h)
    place = [_near(rng, along, 0.25 * along), rng.uniform(1.9, across / unit - 0.7) * unit]
    radius, depth = unit * rng.uniform(0.25, 0.45), unit * rng.uniform(0.6, 1.0)
    if side % 2:
        place[1], depth = across - place[1], across - depth
    y, x = place if side < 2 else place[::-1]
    write(sheet, marks[0][1], y, x, pen_colour(rng))
    colour = table_top(rng, 8, 8)[0, 0] if rng.random() < 0.5 else np.full(3, rng.uniform(5, 60))
    count = int(rng.choice([1, 2, 2, 4 if along > 14 * radius else 2]))
    fine = 4 if max(h, w) < 700 else 1
    mask = Image.new("L", (fine * w, fine * h))
    for k in range(count):
        middle = np.array((along * (k + 1) / (count + 1) + rng.uniform(-2, 2), depth))
        middle = (middle if side >= 2 else middle[::-1]) * fine
        ends = (*(middle - radius * fine), *(middle + radius * fine))
        ImageDraw.Draw(mask).ellipse([float(end) for end in ends], fill=255)
    a = np.asarray(mask.resize((w, h), Image.Resampling.BOX), np.float32)[
        ..., np.newaxis
    ] / np.float32(255)
    sheet.pixels += (colour - sheet.pixels) * a
    return photograph(rng, turned(rng, sheet, rng.normal(0, 1)), unit)


def _page(rng: Rng, marks: list[Mark]) -> bytes:
    """Draw a digit of 7 to 8 mm anywhere on an A4 page of 150 to 300 dots per inch."""
    dots = rng.uniform(150, 300) / 25.4
    unit = rng.uniform(7, 8) * dots
    sheet = new_sheet(rng, 297 * dots / unit, 210 * dots / unit, unit)
    h, w = sheet.pixels.shape[:2]
    write(
        sheet,
        marks[0][1],
        rng.uniform(0.06, 0.94) * h,
        rng.uniform(0.08, 0.92) * w,
        pen_colour(rng),
    )
    return photograph(rng, sheet.pixels, unit, 0.7)


def _pencil(rng: Rng, marks: list[Mark]) -> bytes:
    """Draw a faint pencil line with grain.

    The darkest pixels of the line are 15 to 27 grey levels darker than the paper.
    """
    unit = _unit(rng, 60, 250)
    sheet = new_sheet(rng, rng.uniform(1.4, 4), rng.uniform(1.4, 4), unit)
    h, w = sheet.pixels.shape[:2]
    paper = np.median(sheet.pixels.reshape(-1, 3), axis=0)
    grain = 1 - 0.25 * np.clip(_noise_field(rng, h, w, 2), 0, 2)[..., np.newaxis]
    before = sheet.pixels.copy()
    y, x = _near(rng, h, 0.2 * h), _near(rng, w, 0.2 * w)
    write(sheet, marks[0][1], y, x, paper - rng.uniform(17, 29))
    sheet.pixels = before + (sheet.pixels - before) * grain
    return photograph(rng, turned(rng, sheet, rng.normal(0, 2)), unit, 0.6)


def _frame(rng: Rng, marks: list[Mark]) -> bytes:
    """Draw a border around dark or light ink, as in drawing programs and cut screenshots."""
    unit = _unit(rng)
    sheet = new_sheet(rng, rng.uniform(1.15, 2.5), rng.uniform(1.15, 2.5), unit)
    h, w = sheet.pixels.shape[:2]
    y, x = _near(rng, h, max(0, h / 2 - 0.6 * unit)), _near(rng, w, max(0, w / 2 - 0.6 * unit))
    write(sheet, marks[0][1], y, x, pen_colour(rng))
    inside = sheet.pixels if rng.random() < 0.5 else 255 - sheet.pixels
    width = round(max(1, unit * float(rng.choice([0.01, 0.05, rng.uniform(0.05, 0.5)]))))
    framed = np.pad(inside, ((width, width), (width, width), (0, 0)))
    border = np.ones(framed.shape[:2], bool)
    border[width:-width, width:-width] = False
    framed[border] = rng.choice([0, 255, rng.uniform(0, 255)])
    return photograph(rng, framed, unit, 0.4)


def _several(rng: Rng, marks: list[Mark]) -> bytes:
    """Draw two to five digits in one row or in two."""
    unit = _unit(rng, 35, 130)
    rows = [marks] if len(marks) < 4 or rng.random() < 0.7 else [marks[:2], marks[2:]]
    sheet = new_sheet(
        rng,
        1.5 * len(rows) + rng.uniform(0, 2),
        1.1 * max(map(len, rows)) + rng.uniform(0.8, 2.5),
        unit,
    )
    h, _w = sheet.pixels.shape[:2]
    ink = pen_colour(rng)
    size = unit * rng.uniform(0.85, 1.05)
    start = (h - 1.45 * unit * len(rows)) / 2 + 0.72 * unit
    for row, line in enumerate(rows):
        x = rng.uniform(0.15, 0.4) * unit
        for _, mark in line:
            y = start + 1.45 * unit * row + rng.uniform(-0.08, 0.08) * unit
            _, left, _, right = _extent(mark)
            top, _, bottom, _ = _extent(mark)
            wide = (right - left) / max(bottom - top, 0.6 * (right - left)) * size
            box = write(sheet, mark, y, x + wide / 2, ink, size)
            x = box[3] + unit * rng.uniform(0.12, 0.5)
    return photograph(rng, turned(rng, sheet, rng.normal(0, 1.5)), unit)


KINDS: dict[str, Callable[[Rng, list[Mark]], bytes]] = {
    "box lines": _box,
    "answer line": _answer_line,
    "grid, 25 % of ink": _grid(0.25),
    "grid, 60 % of ink": _grid(0.6),
    "desk edge": _desk_edge,
    "table all round": _table,
    "hard shadow": _shadow,
    "punch holes": _holes,
    "small digit, A4 page": _page,
    "pencil": _pencil,
    "frame": _frame,
}
SEVERAL = "several marks"


def page(rng: Rng, kind: str, images: Pixels, labels: NDArray[np.integer]) -> tuple[bytes, str]:
    """Return a picture file of a kind, and the digits that are written on it.

    Three quarters of the digits are the given images, and a program draws the others. All kinds but
    SEVERAL use the first image only.
    """
    marks: list[Mark] = []
    for image, label in zip(images, labels, strict=True):
        if rng.random() < 0.75:
            marks.append((int(label), np.asarray(image, np.float32) / np.float32(255)))
        else:
            marks.append((int(label), strength_of(int(label), rng, rng.uniform(5, 15))))
    content = _several(rng, marks) if kind == SEVERAL else KINDS[kind](rng, marks[:1])
    count = len(marks) if kind == SEVERAL else 1
    return content, "".join(str(label) for label, _ in marks[:count])
