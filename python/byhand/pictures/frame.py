"""Frames round a picture: a window's border, a printed box, the page round a figure.

A frame has one colour, lies along all four sides of the picture and ends at straight edges.
"""

from __future__ import annotations

import numpy as np

from .ink import Mask, Pixels, rim_of, scaled_down

# Longest side of the copy in which frames are looked for.
_SIDE = 1024
# Frames inside one another that are looked for, such as the page round a figure and its border.
_MOST = 4
# Differences from the frame's colour, in grey levels, that are tried as the least one inside. Noise
# in the frame is below one of them.
_LEVELS = (16, 32, 64, 128)
# The largest share of a row or column of the frame that has another colour.
_STRAY = 0.02
# The least share of each side of the inside that has another colour than the frame: first for the
# outermost frame, then for frames inside it. Writing that touches the frame takes the rest. Boxes
# in a row have less than the first, because of the gaps between them. An 8 made of straight bars
# has more than the second. Its middle bar is then refused as writing, because it touches the sides.
_FULL, _FULL_INSIDE = 0.9, 0.8
# A rim of this share of the picture's shorter side is left out: the frame's edge is blurred.
_EDGE = 0.01
# The inside has at least this many pixels a side.
_LEAST = 12


def inside_frames(pixels: Pixels) -> tuple[Pixels, tuple[int, int]]:
    """The part of a picture inside all its frames, and the row and column where that part begins.

    The picture itself if it has no frame.
    """
    top = left = 0
    for number in range(_MOST):
        part = _inside(pixels, _FULL_INSIDE if number else _FULL)
        if part is None:
            break
        pixels = pixels[part]
        top, left = top + part[0].start, left + part[1].start
    return pixels, (top, left)


def _inside(pixels: Pixels, full: float) -> tuple[slice, slice] | None:
    """The part inside the outermost frame, or None if there is no frame."""
    small = scaled_down(pixels, _SIDE)
    off = np.abs(small - np.median(rim_of(small), axis=0)).max(axis=-1)
    for level in _LEVELS:
        sides = _sides(off > level, full)
        if sides is not None:
            scale = np.tile(np.divide(pixels.shape[:2], off.shape), 2)
            top, left, bottom, right = np.rint(sides * scale).astype(int).tolist()
            return slice(top, bottom), slice(left, right)
    return None


def _sides(other: Mask, full: float) -> tuple[int, int, int, int] | None:
    """Top, left, bottom and right of the inside without its edge, or None if there is no frame.

    other: which pixels have another colour than the frame. full: the least share of them on each
    side of the inside.
    """
    height, width = other.shape
    rows, columns = (np.flatnonzero(other.mean(axis) > _STRAY) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return None
    edge = max(1, round(_EDGE * min(other.shape)))
    top, left = int(rows[0]) + edge, int(columns[0]) + edge
    bottom, right = int(rows[-1]) + 1 - edge, int(columns[-1]) + 1 - edge
    framed = min(top, left, height - bottom, width - right) > edge
    if not framed or min(bottom - top, right - left) < _LEAST:
        return None
    inside = other[top:bottom, left:right]
    least = min(side.mean() for side in (*inside[[0, -1]], *inside.T[[0, -1]]))
    return (top, left, bottom, right) if least >= full else None
