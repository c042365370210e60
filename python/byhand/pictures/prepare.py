"""A picture of a digit as MNIST's images were made: ink 255 on 0, fitted into 20x20, its centre of
mass in the middle of 28x28.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from byhand.picture_form import is_in_form

from .components import components
from .ground import ORDERS, Floats, Ground
from .read import PictureError

Pixels = NDArray[np.uint8]

# MNIST's 20x20 of ink in 28x28, for any size.
_BOX = 20 / 28

# The ink is looked for in a copy of the picture with at most so many pixels a side.
_LOOK = 256
# Sides from which on that copy is smoothed.
_SMOOTH = 64

_BLANK = "blank: nothing stands off the ground"

# Grey levels between ink and paper, at least, and how often more than the noise.
_LEAST_CONTRAST = 12.0
_LEAST_SIGNAL = 5.0
# How often more, so that nobody needs to look further.
_CLEAR = 40.0

# Of the ink's level: what every piece of ink must reach, and where its edge is.
_CORE = 0.5
_EDGE = 0.15

# Of the largest piece's ink: what a smaller one must have, or it is a speck.
_SPECK = 0.04
# ... and what one inside the picture must have, for the pieces that touch the frame to be shadows
# or the edge of the paper.
_INSIDE = 0.25

# Widths of strokes, for a box of 20: MNIST's lie between 1.3 and 3.1 (5 % and 95 %).
_THIN = 1.3
_NORMAL = 2.0
# Pixels a side, at most, of the copy in which strokes are measured.
_MEASURED = 64
# The box in which strokes are thickened, as a multiple of the last one.
_FINE = 6


class BlankError(PictureError):
    """A picture on which nothing is drawn."""


@dataclass(frozen=True)
class _Ink:
    """Where the ink is (sides of the picture from 0 to 1), and what it is there."""

    top: float
    left: float
    bottom: float
    right: float
    level: Floats  # (height, width): 0 paper, 1 ink, noise round both


def prepare(pixels: Pixels, height: int = 28, width: int = 28) -> Pixels:
    """(H, W, channels) of any size to (height, width) as MNIST's images are.

    The paper's own shades are taken away; ink is what stands off it, whichever is darker and
    whatever its colour; specks go. A grey picture of exactly this size that has been made like
    MNIST's images already (`picture_form.is_in_form`) is taken as it is. Raises BlankError where
    there is no ink.
    """
    box = max(1, round(_BOX * height)), max(1, round(_BOX * width))
    if pixels.shape == (height, width, 1) and is_in_form(pixels[..., 0], box):
        return pixels[..., 0]
    ink = _find(pixels)
    drawn = _fitted(ink, *box)
    return _centred(drawn, height, width)


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
# Find


def _find(pixels: Pixels) -> _Ink:
    small = _scaled_down(pixels, _LOOK)
    # The evenest paper that the ink stands off clearly, or else the one that it does most clearly.
    tried = []
    for terms in ORDERS:
        tried.append(_seen(small, terms))
        if tried[-1].clarity >= _CLEAR:
            break
    seen = max(tried, key=lambda s: s.clarity)
    if seen.peak < max(_LEAST_CONTRAST, _LEAST_SIGNAL * seen.noise):
        raise BlankError(_BLANK)
    kept = _kept(seen.look, seen.peak, max(_EDGE * seen.peak, 3 * seen.noise))
    return _cut(pixels, seen, kept)


@dataclass(frozen=True)
class _Seen:
    """The picture without its paper: look (height, width) is 0 on paper, `peak` on ink."""

    ground: Ground
    direction: Floats
    look: Floats
    peak: float
    noise: float

    @property
    def clarity(self) -> float:
        return self.peak / (self.noise + 1)


def _seen(small: Floats, terms: int) -> _Seen:
    ground = Ground(small, terms)
    off = small - ground.at(0, 0, 1, 1, small.shape[:2])
    direction = _direction(off)
    look = np.asarray(off @ direction, np.float32)
    # Smoothed where the digit is large enough, so that noise does not look like ink.
    if min(look.shape) >= _SMOOTH:
        look = _smoothed(look)
    # The ink's level is the mean of what is above half of the most; what is below is paper.
    most = float(np.percentile(look, 99.8))
    peak = float(look[look >= most / 2].mean()) if most > 0 else 0.0
    paper = np.abs(look[look < peak / 2])
    noise = 1.4826 * float(np.median(paper)) if paper.size else 0.0
    return _Seen(ground, direction, look, peak, noise)


def _direction(off: Floats) -> Floats:
    """The colour of the ink as it differs from the paper's: (channels,), of length 1.

    The principal axis of the differences, the strong ones counting most, towards the side on which
    a few are large.
    """
    step = 1 + min(off.shape[:2]) // _SMOOTH  # some of the pixels tell
    d = off[::step, ::step].reshape(-1, off.shape[-1]).astype(np.float64)
    weighted = d * np.linalg.norm(d, axis=1, keepdims=True)
    _, axes = np.linalg.eigh(weighted.T @ weighted)
    axis = axes[:, -1]
    return np.asarray(axis * np.sign(((d @ axis) ** 3).sum() or 1.0), np.float32)


def _kept(look: Floats, peak: float, edge: float) -> NDArray[np.bool_]:
    """The pieces of ink without specks, and without what reaches in from outside."""
    labels, count = components(look > edge)
    core = np.bincount(labels.ravel(), (look > _CORE * peak).ravel(), count + 1)[1:] > 0
    mass = np.bincount(labels.ravel(), look.ravel(), count + 1)[1:] * core
    frame = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    inside = ~np.isin(np.arange(1, count + 1), frame)
    if mass[inside].max(initial=0) >= _INSIDE * mass.max(initial=0):
        mass = mass * inside
    keep = mass >= _SPECK * mass.max(initial=0)
    keep &= mass > 0
    if not keep.any():
        raise BlankError(_BLANK)
    return np.concatenate(([False], keep))[labels]


def _cut(pixels: Pixels, seen: _Seen, kept: NDArray[np.bool_]) -> _Ink:
    """The ink within its bounding box, from all the pixels that the picture has."""
    rows, columns = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
    height, width = kept.shape
    full_height, full_width = pixels.shape[:2]
    # Whole pixels of the picture.
    top, bottom = rows[0] * full_height // height, -(-(rows[-1] + 1) * full_height // height)
    left, right = columns[0] * full_width // width, -(-(columns[-1] + 1) * full_width // width)
    sides = (top / full_height, left / full_width, bottom / full_height, right / full_width)
    part = pixels[top:bottom, left:right].astype(np.float32)
    level = (part - seen.ground.at(*sides, part.shape[:2])) @ (seen.direction / seen.peak)
    wide = _grown(kept)
    y = (np.arange(top, bottom) * height) // full_height
    x = (np.arange(left, right) * width) // full_width
    return _Ink(*sides, np.asarray(level * wide[np.ix_(y, x)], np.float32))


# --------------------------------------------------------------------------------------------------
# Fit


def _fitted(ink: _Ink, height: int, width: int) -> Floats:
    """The ink in a box of at most (height, width), its aspect ratio kept, from 0 to 255."""
    level = ink.level
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


# --------------------------------------------------------------------------------------------------
# Filters


def _scaled_down(pixels: Pixels, side: int) -> Floats:
    """(H, W, channels) averaged down until neither side is longer."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    channels = [
        np.asarray(Image.fromarray(pixels[..., c]).resize(size, Image.Resampling.BOX))
        for c in range(pixels.shape[-1])
    ]
    return np.stack(channels, axis=-1).astype(np.float32)


def _resized(level: Floats, rows: int, columns: int) -> Floats:
    if level.shape == (rows, columns):
        return level
    down = rows <= level.shape[0]
    filter = Image.Resampling.BOX if down else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(level).resize((columns, rows), filter))


def _smoothed(look: Floats) -> Floats:
    """The mean of 3x3."""
    padded = np.pad(look, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9, np.float32)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """And its neighbours."""
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
