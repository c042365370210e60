"""Find the separate marks of a picture, such as digits, in reading order.

A mark is made of one or more connected pieces of ink. Printed lines, specks and holes in the paper
are no marks. These terms describe ink:

- The ground is the paper and all else that is not drawn (`ink.py`).
- The level of a pixel is its difference from the ground. The ink's level is the level of full ink,
  away from the blurred edges of strokes.
- The mass of a piece is its amount of ink: the sum of its levels. Each level is weighted by the
  square of the ground's brightness, so that pieces on a dark table count less.
- The extent of a piece or of a mark is its height or its width, whichever is larger.
- The thickness of a piece is its width in pixels where it is thickest. The thickness of a mark is
  that of its thickest piece, divided by the mark's extent.
- A blob is a piece that is too thick for its extent to be a stroke.
- A frame is a border of one colour along all four sides of the picture (`frame.py`).
"""

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

# The smallest level of a stroke's edge, as a share of the ink's level.
_EDGE = 0.2
# A pixel has full ink if its level is more than `_FULL` times the ink's level. In a piece that
# nowhere reaches the ink's level, the piece's own largest level takes the place of the ink's level.
# A piece is mostly shadow if less than the share `_SHADOW` of its pixels has full ink. In a stroke,
# at least 0.63 of the pixels have full ink, in spite of the blurred edges.
_FULL, _SHADOW = 0.5, 0.5
# A piece with less than this share of the heaviest piece's ink is a speck.
_SPECK = 0.04
# Pieces that touch the picture's edge are left out if a piece that does not touch it has at least
# this share of the heaviest piece's ink.
_INSIDE = 0.25
# A piece whose extent is less than this number of pixels is a speck. A single black pixel has an
# extent of 3 after smoothing.
_SMALLEST = 5
# The largest number of pieces. `_groups` compares all pairs of them, which would take gigabytes for
# the dots of a printed photograph. If there are more, the heaviest ones are kept.
_MOST = 1000
# The smallest amount of ink of a mark, as a share of the heaviest mark's ink.
_MARK = 0.15
# A piece that encloses other ink is an outline, such as a circle around a digit, if the extent of
# the enclosed ink is at least this share of the piece's extent. Specks in the loop of a 0 are
# smaller.
_ROUND = 0.35
# A piece whose thickness is more than this share of its extent is a blob, such as a hole in the
# paper or the tip of a shadow. Thickness divided by extent is 1 for a disc, 0.5 for a triangle and
# at most `_STROKE` for a pen's stroke.
_BLOB = 0.45
# Blobs are left out if a piece that is no blob has at least this share of the heaviest piece's ink.
_HOLES = 0.06

# The largest thickness of a pen's stroke, as a share of its symbol's extent.
_STROKE = 0.35

# If paper is mistaken for light ink, its level is above this value everywhere, in spite of the
# paper's grain. Full ink has the level 1.
_SHEET = 0.25

# Two digits, one above the other, are together at least this many times as tall as they are wide.
_TALLEST = 1.6
# The lighter of two digits has at least this share of the heavier one's ink.
_EQUAL = 0.3

# The level at the outer edge of a stroke's blur. Full ink has the level 1.
_BLUR = 0.1

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mark:
    """A symbol of a picture, such as a digit.

    Parameters
    ----------
    box : (top, left, bottom, right)
        The position of the mark, as fractions of the picture's height and width, 0 to 1.
    level : ndarray, shape (H, W), float32
        The ink in the box: about 1 for full ink and 0 for paper.
    thickness : float
        The largest thickness of the mark's pieces, as a share of the mark's extent.
    """

    box: Box
    level: Floats
    thickness: float

    @property
    def is_stroke(self) -> bool:
        """Whether the mark is drawn with strokes. If it is not, it is a blob."""
        return self.thickness <= _BLOB

    @property
    def ink(self) -> float:
        """The share of the picture that the ink covers."""
        top, left, bottom, right = self.box
        return float(self.level.clip(0, 1).mean()) * (bottom - top) * (right - left)


@dataclass(frozen=True)
class _Pieces:
    """The connected pieces of ink of a picture.

    A pixel of `labels` is 0 outside the pieces and k + 1 in piece k. For piece k, `sides[k]` has
    top, left, bottom and right (bottom and right are exclusive), `mass[k]` is the amount of ink,
    and `thick[k]` is the thickness in pixels.
    """

    ink: Ink
    labels: NDArray[np.int32]
    sides: NDArray[np.int64]
    mass: NDArray[np.float64]
    thick: NDArray[np.float64]

    @property
    def size(self) -> NDArray[np.int64]:
        """The height and width of each piece."""
        return self.sides[:, 2:] - self.sides[:, :2]

    @property
    def extent(self) -> NDArray[np.int64]:
        return np.asarray(self.size.max(axis=1))


def marks(pixels: Pixels) -> list[Mark]:
    """Find the marks of a picture in reading order.

    A mark is a symbol such as a digit. Its strokes need not touch each other.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C), uint8
        The picture.

    Returns
    -------
    list of Mark
        The marks, line by line from the top, and from left to right in each line. The list is
        empty if the picture has no ink.
    """
    part, corner = inside_frames(pixels)
    found = _marks_of_part(part)
    if part is not pixels and not (found and _is_writing(largest(found), 0)):
        return _marks_of_part(pixels)
    return [moved(mark, corner, part.shape, pixels.shape) for mark in found]


def _marks_of_part(pixels: Pixels) -> list[Mark]:
    """Find the marks of a picture that has no frame.

    If the picture shows a sheet of paper with writing on it, only the marks on the sheet are
    returned.
    """
    sheet = sheet_in(pixels)
    if sheet is not None:
        part, corner = sheet
        found = _marks(ink_of(part))
        if found and _is_writing(largest(found), 1):
            return [moved(mark, corner, part.shape, pixels.shape) for mark in found]
    ink = ink_of(pixels)
    found = _marks(ink)
    # If `ink_of` chose wrongly between light and dark ink, there may be no marks, or what it took
    # for light ink may be paper. In these cases, try the other choice.
    if not found or (not ink.darker and _is_paper(largest(found))):
        other = _marks(ink_of(pixels, likely=False))
        if not found or (other and _is_writing(largest(other), 1)):
            return other
    return found


def largest(found: list[Mark]) -> Mark:
    """Return the mark that has the most ink.

    Parameters
    ----------
    found : list of Mark
        At least one mark.

    Returns
    -------
    Mark
        The largest mark.
    """
    return max(found, key=lambda mark: mark.ink)


def _is_writing(mark: Mark, sides: int) -> bool:
    """Return true if the largest mark is a stroke and touches at most `sides` sides of its part.

    The part of the picture is one of these: the inside of a supposed frame, a supposed sheet of
    paper, or the whole picture with the other choice between light and dark ink. The check catches
    two mistakes. First, the supposed sheet may be a bold light digit. Then the mark is the shading
    along the digit's edge, which touches two sides, or the hole of an 8, which is a blob. Second,
    the supposed frame may be a digit made of straight bars. Then the mark is the middle bar of an
    8, or the rough edge of a 1. Both touch the sides.
    """
    touched = sum(side <= 0 for side in mark.box[:2]) + sum(side >= 1 for side in mark.box[2:])
    return mark.is_stroke and touched <= sides


def _is_paper(mark: Mark) -> bool:
    """Return true if a mark of light ink is a piece of a sheet that extends beyond the picture."""
    piece = ndimage.binary_fill_holes(mark.level > _SHEET)
    return mark.thickness > _STROKE and sheet_corners(piece) is not None


def moved(
    mark: Mark, corner: tuple[int, int], part: tuple[int, ...], whole: tuple[int, ...]
) -> Mark:
    """Convert a mark of a part of a picture to a mark of the whole picture.

    Parameters
    ----------
    mark : Mark
        The mark. Its box is relative to the part.
    corner : (int, int)
        The position (row, column) of the part's first pixel in the picture.
    part, whole : tuple of int
        The shapes (H, W, ...) of the part and of the picture.

    Returns
    -------
    Mark
        The same mark with a box that is relative to the picture.
    """
    start, size = np.tile(corner, 2), np.tile(part[:2], 2)
    top, left, bottom, right = ((start + mark.box * size) / np.tile(whole[:2], 2)).tolist()
    return replace(mark, box=(top, left, bottom, right))


def _marks(ink: Ink) -> list[Mark]:
    return marks_of_ink(without_lines(ink))


def marks_of_ink(ink: Ink) -> list[Mark]:
    """Find the marks of ink that was already separated from the paper.

    Parameters
    ----------
    ink : Ink
        The ink.

    Returns
    -------
    list of Mark
        The marks in reading order, as `marks` returns them.
    """
    pieces = _pieces(ink)
    if not len(pieces.mass):
        return []
    return _ordered([_mark(pieces, group) for group in _groups(pieces)])


def _pieces(ink: Ink) -> _Pieces:
    """Return the pieces of ink that may belong to a mark.

    The function leaves out specks, and outlines around other pieces. If the other pieces have
    enough ink, it also leaves out blobs, and pieces that touch the picture's edge.
    """
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
    keep[np.argsort(-mass * keep, kind="stable")[_MOST:]] = False
    thick = _thickness(labels, boxes, keep)
    blob = keep & (thick > _BLOB * np.maximum(bottom - top, right - left))
    strokes = keep & ~blob
    if mass[strokes].max(initial=0) >= _HOLES * mass.max(initial=0):
        keep = strokes & (mass >= _SPECK * mass[strokes].max(initial=0))
    keep &= ~_outlines(labels, boxes, keep)
    number = np.concatenate(([0], np.where(keep, keep.cumsum(), 0))).astype(np.int32)
    return _Pieces(ink, number[labels], sides.reshape(-1, 4)[keep], mass[keep], thick[keep])


def _outlines(labels: NDArray[np.int32], boxes: list[tuple[slice, ...]], wanted: Mask) -> Mask:
    """Return which wanted pieces are outlines around other wanted pieces."""
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
    """Return the mask without shadows. If a piece is mostly shadow, only its full ink is kept.

    A narrow bar of shadow is not part of the ground, so it is found as ink. The bar and the digit
    that it crosses form one piece.
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
    """Return the thickness of each wanted piece in pixels, and 0 for the other pieces."""
    thick = np.zeros(len(boxes))
    for k in np.flatnonzero(wanted):
        piece = np.pad(labels[boxes[k]] == k + 1, 1)
        thick[k] = 2 * ndimage.distance_transform_edt(piece).max() - 1
    return thick


def _peak(ink: Ink, strong: Mask) -> float:
    """Return the level of full ink, measured in the piece that has the most ink."""
    labels, count = ndimage.label(strong, np.ones((3, 3)))
    if not count:
        return 0.0
    index = np.arange(1, count + 1)
    mass = ndimage.sum_labels(ink.smooth * ink.light**2, labels, index)
    values = ink.smooth[labels == 1 + mass.argmax()]
    return float(values[values >= values.max() / 2].mean())


def _groups(p: _Pieces) -> list[NDArray[np.intp]]:
    """Group the pieces that are parts of one symbol, such as a broken stroke or the bar of a 5.

    The limits were chosen on the pictures of `tools/pictures.py`. The gap between two digits side
    by side is at least the width of the pen. The gap between parts of one digit is usually smaller.
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
    # First reason to join two pieces: one is above the other, like the bar of a 5 above its bow.
    # They overlap in at least half of the narrower one's width, and the gap is at most the pen's
    # width or 0.12 of the taller one's height. Two pieces of similar mass that are together taller
    # than a digit may be two digits in a column, so only the gap of a broken stroke is allowed
    # between them.
    height, width = np.moveaxis(
        np.maximum(p.sides[:, np.newaxis, 2:], p.sides[:, 2:])
        - np.minimum(p.sides[:, np.newaxis, :2], p.sides[:, :2]),
        2,
        0,
    )
    column = (height > _TALLEST * width) & (mass > _EQUAL)
    gap = np.where(column, 0.4 * pen, np.maximum(pen, 0.12 * taller))
    above = (-gap_x >= 0.5 * narrower) & (gap_y <= gap)
    # Second reason: they are parts of a broken stroke. The gap is at most 0.4 of the pen's width.
    broken = (gap_x <= 0.4 * pen) & (gap_y <= 0.4 * pen)
    # Third reason: one piece is short and has little ink, so it belongs to the digit beside it. If
    # a stroke runs along a ruled line, such a piece remains after the removal of the line.
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
    # The box of the mark ends at the outer edge of the ink's blur.
    rows, columns = (np.flatnonzero((level > _BLUR).any(axis)) for axis in (1, 0))
    level = level[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = part[0].start + rows[0], part[1].start + columns[0]
    bottom, right = top + level.shape[0], left + level.shape[1]
    box = (top / height, left / width, bottom / height, right / width)
    return Mark(box, np.asarray(level, np.float32), thickness)


def _ordered(found: list[Mark]) -> list[Mark]:
    """Sort marks by lines from the top, and from left to right in each line.

    A line consists of the topmost mark that remains, and of all marks whose vertical middle is
    above the bottom of this topmost mark.
    """
    ordered: list[Mark] = []
    remaining = sorted(found, key=lambda mark: mark.box[0])
    while remaining:
        first = remaining[0]
        in_line = [(m.box[0] + m.box[2]) / 2 < first.box[2] for m in remaining]
        line = [m for m, own in zip(remaining, in_line, strict=True) if own]
        remaining = [m for m, own in zip(remaining, in_line, strict=True) if not own]
        ordered += sorted(line, key=lambda mark: mark.box[1])
    return ordered
