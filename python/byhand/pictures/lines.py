"""Printed lines that are no ink: the sides of boxes, answer lines, grids, rules of tables.

A line is thin, straight, within a few degrees of level or upright, and longer than what is written.
Where a stroke crosses it, the stroke is joined again.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .ink import Floats, Ink, Mask, smoothed

# Longest side of the copy in which lines are looked for.
_LOOK = 512
# Smaller pictures than this show a digit and nothing else: the stem of a 9 would be a line there.
_SMALLEST = 48
# The length of a piece of a line: at most this many pixels of that copy, and at most this share of
# its longest side.
_RUN, _RUN_SHARE = 48, 0.14
# Part of a run that must be ink: printers and cameras leave gaps.
_FILLED = 0.9
# Slopes that are tried; a run of 48 pixels on a line between two of them strays by one pixel.
_SLOPES = (-0.1, -0.05, 0.0, 0.05, 0.1)
# A line is at most this wide, as a share of its length; blur makes short ones 4 pixels wide.
_WIDEST, _WIDE = 0.09, 4
# It is longer than the writing by this factor.
_LONGER = 1.15
# Lines are taken together if the next shorter one has this share of the length.
_SHORTER = 0.85
# A line fainter than this share of the ink's level no longer hides the ink that crosses it.
_FAINT = 0.75


# Top, left, bottom and right of what is written, in pixels of the small copy.
_Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class _Line:
    """A candidate in the small copy, as a narrow band round a nearly straight curve.

    first, end: its pixels in its own direction. middle: its place in the other one at each of
    them. width: in pixels.
    """

    upright: bool
    first: int
    end: int
    middle: Floats
    width: float

    @property
    def length(self) -> int:
        return self.end - self.first


def without_lines(ink: Ink) -> Ink:
    """The ink without printed lines; strokes across them are kept."""
    if max(ink.smooth.shape) < _SMALLEST:
        return ink
    factor = -(-max(ink.smooth.shape) // _LOOK)
    small = _pooled(ink.smooth, factor)
    strong = _pooled(ink.smooth - ink.strong, factor) > 0
    if not strong.any():
        return ink
    peak = float(np.percentile(small[strong], 80))
    mask = (_pooled(ink.smooth - ink.weak, factor) > 0) & (small > 0.12 * peak)
    lines = _furniture(mask, [*_candidates(mask, False), *_candidates(mask.T, True)])
    if not lines:
        return ink
    height, width = ink.smooth.shape

    def full_size(small: Mask) -> Mask:
        return np.kron(small, np.ones((factor, factor), bool))[:height, :width]

    written = full_size(mask & ~_drawn(lines, mask.shape))
    sharp = ink.level
    for upright in (False, True):
        own = [line for line in lines if line.upright == upright]
        if own:
            band = full_size(_drawn(own, mask.shape))
            sharp = _without(sharp, band, written, upright)
    return replace(ink, level=sharp, smooth=smoothed(sharp))


def _without(level: Floats, band: Mask, written: Mask, upright: bool) -> Floats:
    """The level without the lines in the band, all of them upright or none."""
    line, ink = np.percentile(level[band], 85), np.percentile(level[written], 90)
    over = (line + ink) / 2 if line < _FAINT * ink else np.inf
    if upright:
        return np.asarray(_bridged(level.T, band.T, over).T)
    return np.asarray(_bridged(level, band, over))


def _pooled(values: Floats, factor: int) -> Floats:
    """The maximum of each square of `factor` x `factor` pixels."""
    if factor == 1:
        return values
    height, width = values.shape
    padded = np.pad(values, ((0, -height % factor), (0, -width % factor)), mode="edge")
    pixels = [padded[i::factor, j::factor] for i in range(factor) for j in range(factor)]
    return np.asarray(functools.reduce(np.maximum, pixels))


def _straight(mask: Mask) -> NDArray[np.int32]:
    """Labels of the mask's pixels that lie on level runs, or nearly level ones."""
    height, width = mask.shape
    run = _run_of(mask)
    on = np.zeros(mask.shape, bool)
    columns = np.arange(width)
    for slope in _SLOPES:
        shift = np.rint(slope * (columns - width / 2)).astype(np.intp)
        pad = int(np.abs(shift).max())
        sheared = np.zeros((height + 2 * pad, width), np.float32)
        rows = np.arange(height)[:, np.newaxis] + pad + shift
        sheared[rows, columns] = mask
        share = ndimage.uniform_filter1d(sheared, run, axis=1, mode="nearest")
        hit = ndimage.maximum_filter1d(share >= _FILLED, run, axis=1)
        on |= hit[rows, columns]
    return np.asarray(ndimage.label(on & mask, np.ones((3, 3)))[0])


def _run_of(mask: Mask) -> int:
    return min(_RUN, max(7, round(_RUN_SHARE * float(max(mask.shape)))))


def _candidates(mask: Mask, upright: bool) -> list[_Line]:
    """The thin pieces of nearly level runs; of nearly upright ones if the mask is turned."""
    labels = _straight(mask)
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        if columns.stop - columns.start < _run_of(mask):
            continue
        piece = labels[rows, columns] == number
        widths = piece.sum(0)
        length, width = len(widths), float(np.median(widths))
        # Strokes that leave the line make it wider in places.
        own = (widths > 0) & (widths <= 1.3 * width)
        if width > max(_WIDE, _WIDEST * length) or own.sum() < 0.25 * length:
            continue
        centres = (piece * np.arange(len(piece))[:, np.newaxis]).sum(0)[own] / widths[own]
        places = np.arange(length) / length
        curve = np.polynomial.Polynomial.fit(places[own], centres, 2, domain=(0, 1))
        middle = np.asarray(curve(places) + rows.start, np.float32)
        found.append(_Line(upright, columns.start, columns.stop, middle, width))
    return found


def _drawn(lines: list[_Line], shape: tuple[int, ...]) -> Mask:
    """The lines with the blur at their edges, as a mask."""
    out = np.zeros(shape, bool)
    for line in lines:
        canvas = out.T if line.upright else out
        half = line.width / 2 + 1
        low = max(0, int(line.middle.min() - half))
        high = int(line.middle.max() + half) + 2
        rows = np.arange(low, min(high, len(canvas)))[:, np.newaxis]
        canvas[low:high, line.first : line.end] |= np.abs(rows - line.middle) <= half
    return out


def _furniture(mask: Mask, found: list[_Line]) -> list[_Line]:
    """The largest set of lines that are all longer than what remains without them, or else the
    sides of a box round it.
    """
    if not found:
        return []
    best: list[_Line] = []
    longest = max(line.length for line in found)
    lengths = sorted({line.length for line in found}, reverse=True)
    for i, length in enumerate(lengths):
        # All lines of about this length at once.
        if i + 1 < len(lengths) and lengths[i + 1] > _SHORTER * length:
            continue
        lines = [line for line in found if line.length >= length]
        box = _main(mask & ~_drawn(lines, mask.shape))
        if box is not None and max(box[2] - box[0], box[3] - box[1]) * _LONGER <= length:
            best = _plausible(found, lines, box, mask.shape)
        elif best or length < 0.25 * longest:
            break
    if best:
        return best
    # A box that is hardly larger than the writing in it.
    sides = [line for line in found if _ends_on(line, found, mask.shape)]
    box = _main(mask & ~_drawn(sides, mask.shape))
    return sides if box is not None and all(_passes(line, box) for line in sides) else []


def _main(rest: Mask) -> _Box | None:
    """Top, left, bottom and right of the largest thing that remains, cut where lines were."""
    labels, count = ndimage.label(ndimage.binary_dilation(rest, np.ones((5, 5))), np.ones((3, 3)))
    if not count:
        return None
    area = ndimage.sum_labels(rest, labels, np.arange(1, count + 1))
    number = int(area.argmax())
    rows, columns = ndimage.find_objects(labels)[number]
    box = rows.start + 2, columns.start + 2, rows.stop - 2, columns.stop - 2
    small = max(box[2] - box[0], box[3] - box[1]) < 8
    return None if small else box


def _plausible(
    found: list[_Line], lines: list[_Line], box: _Box, shape: tuple[int, ...]
) -> list[_Line]:
    """Leave out strokes of the writing: the stem of a 4 or a 1 is long and straight, too.

    Level lines pass what is written at both ends; upright ones come in pairs. A line that ends at
    the frame may be alone. Lines between two others, the short sides of a box, come with them.
    """
    middle = (box[1] + box[3]) / 2
    near = _near(shape)

    def at_frame(line: _Line) -> bool:
        return line.first <= near or line.end >= shape[not line.upright] - near

    sides = {line.middle.mean() < middle for line in lines if line.upright and _passes(line, box)}
    kept = [
        line
        for line in lines
        if at_frame(line) or (_passes(line, box) and (not line.upright or len(sides) == 2))
    ]
    for line in found:
        if line not in kept and _passes(line, box) and _ends_on(line, kept, shape):
            kept.append(line)
    return kept


def _passes(line: _Line, box: _Box) -> bool:
    """Whether a line begins before what is written in `box` and ends after it."""
    first, end = (box[0], box[2]) if line.upright else (box[1], box[3])
    return line.first < first and line.end > end


def _ends_on(line: _Line, others: list[_Line], shape: tuple[int, ...]) -> bool:
    """Whether both ends of a line lie on lines of the other direction."""
    near = _near(shape)
    return all(
        any(
            other.upright != line.upright
            and abs(other.middle.mean() - end) <= near
            and other.first - near <= line.middle.mean() <= other.end + near
            for other in others
        )
        for end in (line.first, line.end)
    )


def _near(shape: tuple[int, ...]) -> float:
    """The distance at which two lines meet, or a line meets the frame."""
    return 0.02 * max(shape) + 2


def _bridged(level: Floats, band: Mask, over: float) -> Floats:
    """The level with the band filled in from what is above and below it, also slantwise.

    over: what is darker than this in the band is ink that crosses the line.
    """
    height, width = level.shape
    rows = np.arange(height)[:, np.newaxis]
    above = np.maximum.accumulate(np.where(band, 0, rows), axis=0)
    below = np.minimum.accumulate(np.where(band, height - 1, rows)[::-1], axis=0)[::-1]
    columns = np.arange(width)
    up = np.where(band[above, columns], 0, level[above, columns])
    down = np.where(band[below, columns], 0, level[below, columns])
    thick = int(np.median((below - above)[band])) - 1
    fill = np.zeros_like(level)
    for shift in (-thick, -thick // 2, 0, thick // 2, thick):
        one, two = np.roll(up, shift, 1), np.roll(down, -shift, 1)
        fill = np.maximum(fill, np.minimum(one, two))
    fill = np.where(level > over, level, fill)
    return np.asarray(np.where(band, fill, level), np.float32)
