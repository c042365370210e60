"""Remove frames around a picture: a window's border, a printed box, the page around a figure.

A frame has one colour, lies along all four sides of the picture, and its inner edges are straight.
"""

from __future__ import annotations

import numpy as np

from .ink import Mask, Pixels, rim_of, scaled_down

# Frames are searched for in a copy of the picture. This is the longest side of the copy, in pixels.
_SIDE = 1024
# The largest number of nested frames, such as the page around a figure and the figure's border.
_MOST = 4
# A pixel belongs to the inside if its difference from the frame's colour is larger than a
# threshold. The threshold must be above the noise of the frame, which is not known. Therefore these
# thresholds, in grey levels, are tried in turn.
_LEVELS = (16, 32, 64, 128)
# The largest share of a row or column of the frame that may have another colour than the frame.
_STRAY = 0.02
# On each of the four sides of the inside, at least this share of the pixels must have another
# colour than the frame. `_FULL` is for the outermost frame, `_FULL_INSIDE` for the frames inside
# it. The rest of a side may have the frame's colour, for example if writing in this colour touches
# the frame. If the picture shows a row of boxes, a side has less than `_FULL`, because of the gaps
# between the boxes. So the paper around them is not taken for a frame. The outer bars of an 8 made
# of straight bars are taken for a frame, because more than `_FULL_INSIDE` of each side within them
# is paper. The only mark inside is then the middle bar. It touches the sides, so `marks` does not
# accept it as writing, and searches the whole picture.
_FULL, _FULL_INSIDE = 0.9, 0.8
# The edge of a frame is blurred, so a rim of the inside is cut off. Its width is this share of the
# picture's shorter side.
_EDGE = 0.01
# The smallest side of the inside, in pixels.
_LEAST = 12


def inside_frames(pixels: Pixels) -> tuple[Pixels, tuple[int, int]]:
    """Cut out the part of a picture that is inside all its frames.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C), uint8
        The picture.

    Returns
    -------
    inside : ndarray, shape (height, width, C), uint8
        The part inside the frames. It is `pixels` itself if the picture has no frame.
    corner : (row, column)
        The position of the part's first pixel in the picture.
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
    """Return the rows and columns inside the outermost frame, or None if there is no frame."""
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
    """Return top, left, bottom and right of the inside without its blurred edge.

    `other` is true for the pixels that have another colour than the frame. On each side of the
    inside, at least the share `full` of the pixels must be of this kind. The result is None if
    there is no frame.
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
