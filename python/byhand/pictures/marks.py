"""The separate marks of a picture, in reading order: its ink without specks, holes and lines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from .frame import inside_frames
from .ink import Floats, Ink, Mask, Pixels, ink_of
from .lines import without_lines
from .paper import sheet_corners, sheet_in

# The level of a stroke's edge, as a share of the ink's level.
_EDGE = 0.2
# A piece is mostly shadow if less than the second share of it has more than the first share of the
# ink's level. Of strokes at least 0.63 has, in spite of their blurred edges.
_FULL, _SHADOW = 0.5, 0.5
# A piece with less than this share of the heaviest piece's ink is a speck.
_SPECK = 0.04
# Pieces at the frame are left out if a piece inside the picture has at least this share.
_INSIDE = 0.25
# The least length of a piece in pixels. One black pixel, smoothed, has 3.
_SMALLEST = 5
# The least ink of a separate mark, as a share of the heaviest mark's ink.
_MARK = 0.15
# A piece is an outline round the ink in it if that ink has at least this share of its extent.
# Specks in the loop of a 0 have less.
_ROUND = 0.35
# A piece thicker than this share of its extent is a blob, such as a hole in the paper or the tip of
# a shadow. A disc has 1, a triangle 0.5, a stroke less than a third.
_BLOB = 0.45
# Blobs are left out if a stroke has at least this share of the heaviest piece's ink.
_HOLES = 0.06

# The largest thickness of a pen's stroke, as a share of its symbol's extent.
_STROKE = 0.35

# Paper that is taken for light ink has more than this level. Grain stays above it.
_SHEET = 0.25

# Two digits in a column are together at least this many times as tall as wide.
_TALLEST = 1.6
# The lighter of two digits has at least this share of the other one's ink.
_EQUAL = 0.3

# The level at the outer edge of a stroke's blur. Full ink has the level 1.
_BLUR = 0.1

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mark:
    """One symbol. box: (top, left, bottom, right) in parts of the picture, 0 to 1; level: its ink
    in that box, 1 where it is full and 0 on paper; thickness: of its strokes, as a share
    of its extent.
    """

    box: Box
    level: Floats
    thickness: float

    @property
    def is_stroke(self) -> bool:
        """Whether it is drawn with a pen's strokes; if not, it is a blob."""
        return self.thickness <= _BLOB

    @property
    def ink(self) -> float:
        """The share of the picture that its ink covers."""
        top, left, bottom, right = self.box
        return float(self.level.clip(0, 1).mean()) * (bottom - top) * (right - left)


@dataclass(frozen=True)
class _Pieces:
    """Connected pieces of ink. sides: top, left, bottom and right of each."""

    ink: Ink
    labels: NDArray[np.int32]
    sides: NDArray[np.int64]
    mass: NDArray[np.float64]
    thick: NDArray[np.float64]

    @property
    def size(self) -> NDArray[np.int64]:
        """Height and width of each."""
        return self.sides[:, 2:] - self.sides[:, :2]

    @property
    def extent(self) -> NDArray[np.int64]:
        return np.asarray(self.size.max(axis=1))


def marks(pixels: Pixels) -> list[Mark]:
    """The marks of a picture, (H, W, channels): lines from the top, each from the left.

    A mark is a symbol such as a digit, whose parts may be apart. Empty if nothing is drawn.
    """
    part, corner = inside_frames(pixels)
    found = _marks_of_part(part)
    if part is not pixels and not (found and _is_writing(largest(found), 0)):
        return _marks_of_part(pixels)
    return [_moved(mark, corner, part.shape, pixels.shape) for mark in found]


def _marks_of_part(pixels: Pixels) -> list[Mark]:
    """The marks of a picture without a frame, or on a sheet in it."""
    sheet = sheet_in(pixels)
    if sheet is not None:
        part, corner = sheet
        found = _marks(ink_of(part))
        if found and _is_writing(largest(found), 1):
            return [_moved(mark, corner, part.shape, pixels.shape) for mark in found]
    ink = ink_of(pixels)
    found = _marks(ink)
    if not found or (not ink.darker and _is_paper(largest(found))):
        other = _marks(ink_of(pixels, likely=False))
        if not found or (other and _is_writing(largest(other), 1)):
            return other
    return found


def largest(found: list[Mark]) -> Mark:
    """The mark with most ink."""
    return max(found, key=lambda mark: mark.ink)


def _is_writing(mark: Mark, sides: int) -> bool:
    """Whether the largest mark on a supposed sheet, or in a supposed frame, is a stroke and touches
    at most this number of the sides.

    Otherwise the supposed sheet is a bold light digit: the mark is the shading along its edge,
    which touches two sides, or the hole of an 8, which is a blob. The supposed frame is a digit of
    straight bars: the mark is the middle bar of an 8, or the rough edge of a 1.
    """
    touched = sum(side <= 0 for side in mark.box[:2]) + sum(side >= 1 for side in mark.box[2:])
    return mark.is_stroke and touched <= sides


def _is_paper(mark: Mark) -> bool:
    """Whether light ink has the shape of paper beside its writing: a part of a cut sheet."""
    piece = ndimage.binary_fill_holes(mark.level > _SHEET)
    return mark.thickness > _STROKE and sheet_corners(piece) is not None


def _moved(
    mark: Mark, corner: tuple[int, int], part: tuple[int, ...], whole: tuple[int, ...]
) -> Mark:
    """A mark of the part of a picture that begins at `corner` as a mark of the whole picture."""
    start, size = np.tile(corner, 2), np.tile(part[:2], 2)
    top, left, bottom, right = ((start + mark.box * size) / np.tile(whole[:2], 2)).tolist()
    return replace(mark, box=(top, left, bottom, right))


def _marks(ink: Ink) -> list[Mark]:
    pieces = _pieces(without_lines(ink))
    if not len(pieces.mass):
        return []
    return _ordered([_mark(pieces, group) for group in _groups(pieces)])


def _pieces(ink: Ink) -> _Pieces:
    """Pieces of ink: no specks, no holes in the paper, nothing that reaches in from outside."""
    strong = ink.smooth > ink.strong
    peak = _peak(ink, strong)
    mask = _without_shadows(ink.smooth > np.maximum(ink.weak, _EDGE * peak), ink, peak)
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    index = np.arange(1, count + 1)
    boxes = ndimage.find_objects(labels)
    sides = np.array([(b[0].start, b[1].start, b[0].stop, b[1].stop) for b in boxes], np.int64)
    top, left, bottom, right = sides.reshape(-1, 4).T
    mass = ndimage.sum_labels(ink.smooth * ink.light**2, labels, index)
    clear = ink.smooth > np.maximum(ink.strong, 0.5 * peak)
    core = ndimage.maximum(clear, labels, index) > 0
    mass = mass * core * (np.maximum(bottom - top, right - left) >= _SMALLEST)
    height, width = mask.shape
    inside = (top > 0) & (left > 0) & (bottom < height) & (right < width)
    if mass[inside].max(initial=0) >= _INSIDE * mass.max(initial=0):
        mass = mass * inside
    keep = (mass > 0) & (mass >= _SPECK * mass.max(initial=0))
    thick = _thickness(labels, boxes, keep)
    blob = keep & (thick > _BLOB * np.maximum(bottom - top, right - left))
    strokes = keep & ~blob
    if mass[strokes].max(initial=0) >= _HOLES * mass.max(initial=0):
        keep = strokes & (mass >= _SPECK * mass[strokes].max(initial=0))
    keep &= ~_outlines(labels, boxes, keep)
    number = np.concatenate(([0], np.where(keep, keep.cumsum(), 0))).astype(np.int32)
    return _Pieces(ink, number[labels], sides.reshape(-1, 4)[keep], mass[keep], thick[keep])


def _outlines(labels: NDArray[np.int32], boxes: list[tuple[slice, ...]], wanted: Mask) -> Mask:
    """Which pieces are drawn round other wanted ones, such as a circle round a digit."""
    out = np.zeros_like(wanted)
    ink = np.concatenate(([False], wanted))
    for k in np.flatnonzero(wanted):
        own = labels[boxes[k]] == k + 1
        within = ink[labels[boxes[k]]] & ndimage.binary_fill_holes(own) & ~own
        rows, columns = np.nonzero(within)
        if len(rows):
            out[k] = max(np.ptp(rows), np.ptp(columns)) + 1 >= _ROUND * max(own.shape)
    return out


def _without_shadows(mask: Mask, ink: Ink, peak: float) -> Mask:
    """The mask without pieces that are mostly shadow; of these, only the full ink is kept.

    A bar of shadow is too narrow for the ground, and is connected with the digit that it crosses.
    """
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    most = ndimage.maximum(ink.smooth, labels, np.arange(count + 1))
    full = mask & (ink.smooth > _FULL * np.minimum(most, peak)[labels])
    area = np.bincount(labels.ravel(), minlength=count + 1)
    share = np.bincount(labels[full], minlength=count + 1) / np.maximum(area, 1)
    return np.asarray(mask & (full | (share >= _SHADOW)[labels]))


def _thickness(
    labels: NDArray[np.int32], boxes: list[tuple[slice, ...]], wanted: Mask
) -> NDArray[np.float64]:
    """The width in pixels of each wanted piece where it is thickest; 0 for the other pieces."""
    thick = np.zeros(len(boxes))
    for k in np.flatnonzero(wanted):
        piece = np.pad(labels[boxes[k]] == k + 1, 1)
        thick[k] = 2 * ndimage.distance_transform_edt(piece).max() - 1
    return thick


def _peak(ink: Ink, strong: Mask) -> float:
    """The level of full ink: of the piece that has most of it."""
    labels, count = ndimage.label(strong, np.ones((3, 3)))
    if not count:
        return 0.0
    index = np.arange(1, count + 1)
    mass = ndimage.sum_labels(ink.smooth * ink.light**2, labels, index)
    values = ink.smooth[labels == 1 + mass.argmax()]
    return float(values[values >= values.max() / 2].mean())


def _groups(p: _Pieces) -> list[NDArray[np.intp]]:
    """Pieces that are parts of one symbol, such as a broken stroke or the bar of a 5.

    The limits were chosen on the pictures of `tools/pictures.py`. Digits that stand side by
    side have a gap of a pen's width or more, and parts of one digit rarely do.
    """
    start = np.maximum(p.sides[:, np.newaxis, :2], p.sides[:, :2])
    end = np.minimum(p.sides[:, np.newaxis, 2:], p.sides[:, 2:])
    gap_y, gap_x = np.moveaxis(start - end, 2, 0)  # negative if they overlap
    narrower = np.minimum(p.size[:, np.newaxis, 1], p.size[:, 1])
    taller = np.maximum(p.size[:, np.newaxis, 0], p.size[:, 0])
    pen = np.minimum(p.thick[:, np.newaxis], p.thick)
    mass = np.minimum(p.mass[:, None], p.mass) / np.maximum(p.mass[:, None], p.mass)
    size = p.extent.max()
    small = np.minimum(p.extent[:, None], p.extent) < 0.35 * size
    # One stands above the other, as the bar of a 5 above its bow. They share half of a width, and
    # the gap, if there is one, is at most a pen's width or an eighth of the height. Two heavy
    # pieces that are together taller than a digit are a broken stroke or two digits in a column.
    height, width = np.moveaxis(
        np.maximum(p.sides[:, np.newaxis, 2:], p.sides[:, 2:])
        - np.minimum(p.sides[:, np.newaxis, :2], p.sides[:, :2]),
        2,
        0,
    )
    column = (height > _TALLEST * width) & (mass > _EQUAL)
    gap = np.where(column, 0.4 * pen, np.maximum(pen, 0.12 * taller))
    above = (-gap_x >= 0.5 * narrower) & (gap_y <= gap)
    # A stroke is broken: the gap is less than half a pen's width.
    broken = (gap_x <= 0.4 * pen) & (gap_y <= 0.4 * pen)
    # A short, light piece lies beside a digit, as what is left of a stroke on a ruled line.
    near = small & (mass < 0.3) & (gap_x <= 0.15 * size) & (gap_y <= 0.15 * size)
    joined = above | broken | near
    number = connected_components(csr_array(joined), directed=False)[1]
    groups = [np.flatnonzero(number == k) for k in range(number.max() + 1)]
    heavy = np.array([p.mass[g].sum() for g in groups])
    return [g for g, m in zip(groups, heavy, strict=True) if m >= _MARK * heavy.max()]


def _mark(p: _Pieces, group: NDArray[np.intp]) -> Mark:
    ink = p.ink
    top, left = (int(side) for side in p.sides[group, :2].min(0))
    bottom, right = (int(side) for side in p.sides[group, 2:].max(0))
    height, width = ink.level.shape
    part = np.s_[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1]
    own = np.isin(p.labels[part], group + 1)
    level = ink.level[part] * ndimage.binary_dilation(own, np.ones((3, 3)))
    level = np.maximum(level / level[level > level.max() / 2].mean(), 0)
    thickness = float(p.thick[group].max() / max(bottom - top, right - left))
    # The box that the ink fills, to the outer edge of its blur.
    rows, columns = (np.flatnonzero((level > _BLUR).any(axis)) for axis in (1, 0))
    level = level[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = part[0].start + rows[0], part[1].start + columns[0]
    bottom, right = top + level.shape[0], left + level.shape[1]
    box = (top / height, left / width, bottom / height, right / width)
    return Mark(box, np.asarray(level, np.float32), thickness)


def _ordered(found: list[Mark]) -> list[Mark]:
    """Lines from the top, each from the left: a line is what overlaps a mark in height."""
    ordered: list[Mark] = []
    left = sorted(found, key=lambda mark: mark.box[0])
    while left:
        first = left[0]
        middle = [(m.box[0] + m.box[2]) / 2 < first.box[2] for m in left]
        line = [m for m, own in zip(left, middle, strict=True) if own]
        left = [m for m, own in zip(left, middle, strict=True) if not own]
        ordered += sorted(line, key=lambda mark: mark.box[1])
    return ordered
