"""Remove printed lines: the sides of boxes, answer lines, grids and the rules of tables.

A printed line is thin, straight, at most a few degrees off the horizontal or the vertical, and
longer than the writing. If a stroke crosses a line, the removal of the line leaves a gap in the
stroke, which is filled. In this module, `upright` means vertical or nearly vertical.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .ink import Floats, Ink, Mask, smoothed

# Lines are searched for in a copy of the picture. This is the longest side of the copy, in pixels.
_LOOK = 512
# A picture with fewer pixels than this on its longer side is assumed to show one digit and nothing
# else. It is left as it is, because the stem of a 9 would be taken for a line.
_SMALLEST = 48
# A line is found by its runs: straight rows of ink pixels with a fixed length. This length is the
# share `_RUN_SHARE` of the copy's longer side, but at least 7 pixels and at most `_RUN` pixels.
_RUN, _RUN_SHARE = 48, 0.14
# The share of a run's pixels that must be ink. It is less than 1 because printers and cameras leave
# gaps.
_FILLED = 0.9
# The slopes of runs that are tried. A line whose slope is between two of these deviates by at most
# about one pixel from a run of 48 pixels.
_SLOPES = (-0.1, -0.05, 0.0, 0.05, 0.1)
# The width of a line is at most the share `_WIDEST` of its length, or `_WIDE` pixels for short
# lines, because blur makes them that wide.
_WIDEST, _WIDE = 0.09, 4
# A line is at least this many times as long as the writing.
_LONGER = 1.15
# Lines of similar length are removed together. Two lines that follow each other in the order of
# their lengths are similar if the shorter one has more than this share of the longer one's length.
_SHORTER = 0.85
# If the level of a line is below this share of the ink's level, strokes that cross the line can be
# distinguished from the line.
_FAINT = 0.75


# Top, left, bottom and right of the writing, in pixels of the small copy.
_Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class _Line:
    """A piece of ink in the small copy that may be a line: a narrow band around a curve.

    A line that is not upright covers the columns from `first` to `end` (exclusive). For each of
    these columns, `middle` holds the row of the line's centre. An upright line covers the rows from
    `first` to `end`, and `middle` holds the column of its centre for each row. `width` is in
    pixels.
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
    """Remove the printed lines from ink. Strokes that cross a line are kept.

    Parameters
    ----------
    ink : Ink
        The ink of a picture.

    Returns
    -------
    Ink
        The ink without lines. It is `ink` itself if no line was found.
    """
    if max(ink.smooth.shape) < _SMALLEST:
        return ink
    factor = -(-max(ink.smooth.shape) // _LOOK)
    small = _pooled(ink.smooth, factor)
    strong = _pooled(ink.smooth - ink.strong, factor) > 0
    if not strong.any():
        return ink
    peak = float(np.percentile(small[strong], 80))
    mask = (_pooled(ink.smooth - ink.weak, factor) > 0) & (small > 0.12 * peak)
    lines = _printed_lines(mask, [*_candidates(mask, False), *_candidates(mask.T, True)])
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
    """Return the level without the lines in the band.

    `band` is the mask of these lines. They are all upright, or all are not. `written` is the mask
    of the ink that belongs to no line.
    """
    line, ink = np.percentile(level[band], 85), np.percentile(level[written], 90)
    crossing = (line + ink) / 2 if line < _FAINT * ink else np.inf
    if upright:
        return np.asarray(_bridged(level.T, band.T, crossing).T)
    return np.asarray(_bridged(level, band, crossing))


def _pooled(values: Floats, factor: int) -> Floats:
    """Return the maximum of each square of `factor` x `factor` pixels."""
    if factor == 1:
        return values
    height, width = values.shape
    padded = np.pad(values, ((0, -height % factor), (0, -width % factor)), mode="edge")
    pixels = [padded[i::factor, j::factor] for i in range(factor) for j in range(factor)]
    return np.asarray(functools.reduce(np.maximum, pixels))


def _straight(mask: Mask) -> NDArray[np.int32]:
    """Label the connected pixels of the mask that lie on horizontal or nearly horizontal runs."""
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
    """Return the thin pieces of nearly horizontal runs as lines.

    To find vertical lines, pass the transposed mask and `upright=True`.
    """
    labels = _straight(mask)
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        if columns.stop - columns.start < _run_of(mask):
            continue
        piece = labels[rows, columns] == number
        widths = piece.sum(0)
        length, width = len(widths), float(np.median(widths))
        # A line seems wider where a stroke crosses it, so these places are not used for its centre.
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
    """Return a mask of the lines that includes the blur at their edges."""
    out = np.zeros(shape, bool)
    for line in lines:
        canvas = out.T if line.upright else out
        half = line.width / 2 + 1
        low = max(0, int(line.middle.min() - half))
        high = int(line.middle.max() + half) + 2
        rows = np.arange(low, min(high, len(canvas)))[:, np.newaxis]
        canvas[low:high, line.first : line.end] |= np.abs(rows - line.middle) <= half
    return out


def _printed_lines(mask: Mask, found: list[_Line]) -> list[_Line]:
    """Return the printed lines among the candidates.

    They are the largest set of candidates that are all longer than the writing. The writing is the
    ink that remains without this set. If there is no such set, the function looks for the
    sides of a box around the writing.
    """
    if not found:
        return []
    best: list[_Line] = []
    longest = max(line.length for line in found)
    lengths = sorted({line.length for line in found}, reverse=True)
    for i, length in enumerate(lengths):
        # Lines of similar length are removed together.
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
    # The sides of a box that is hardly larger than the writing in it are not much longer than the
    # writing. They are found because they end on each other.
    sides = [line for line in found if _ends_on(line, found, mask.shape)]
    box = _main(mask & ~_drawn(sides, mask.shape))
    return sides if box is not None and all(_passes(line, box) for line in sides) else []


def _main(rest: Mask) -> _Box | None:
    """Return top, left, bottom and right of the largest piece of ink, or None if it is tiny.

    Pieces that are at most 4 pixels apart count as one piece, because a removed line may have cut
    them apart.
    """
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
    """Return those of `lines` that are printed, without stems of digits such as 4 and 1.

    Stems are also straight. A line that ends at the edge of the picture is a printed line. A
    horizontal line is printed if it extends beyond the writing in `box` at both ends. A vertical
    line must do the same, and there must be such a line on either side of the writing. Shorter
    lines of `found` that join two printed lines, such as the short sides of a box, are added.
    """
    middle = (box[1] + box[3]) / 2
    near = _near(shape)

    def at_picture_edge(line: _Line) -> bool:
        return line.first <= near or line.end >= shape[not line.upright] - near

    sides = {line.middle.mean() < middle for line in lines if line.upright and _passes(line, box)}
    kept = [
        line
        for line in lines
        if at_picture_edge(line) or (_passes(line, box) and (not line.upright or len(sides) == 2))
    ]
    for line in found:
        if line not in kept and _passes(line, box) and _ends_on(line, kept, shape):
            kept.append(line)
    return kept


def _passes(line: _Line, box: _Box) -> bool:
    """Return true if a line begins before the writing in `box` and ends after it."""
    first, end = (box[0], box[2]) if line.upright else (box[1], box[3])
    return line.first < first and line.end > end


def _ends_on(line: _Line, others: list[_Line], shape: tuple[int, ...]) -> bool:
    """Return true if both ends of a line lie on lines of the other direction."""
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
    """Return the largest distance in pixels at which a line counts as touching another line.

    It is also the largest distance at which a line counts as touching the picture's edge.
    """
    return 0.02 * max(shape) + 2


def _bridged(level: Floats, band: Mask, crossing: float) -> Floats:
    """Remove the lines in the band, and fill the gaps that this makes in strokes.

    A pixel of the band is filled if there is ink above the band and ink below it, straight or at a
    slant. Pixels of the band whose level is greater than `crossing` are ink that crosses the line.
    They keep their level.
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
        from_above, from_below = np.roll(up, shift, 1), np.roll(down, -shift, 1)
        fill = np.maximum(fill, np.minimum(from_above, from_below))
    fill = np.where(level > crossing, level, fill)
    return np.asarray(np.where(band, fill, level), np.float32)
