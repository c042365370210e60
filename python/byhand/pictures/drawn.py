"""Find the marks of a drawing, whose ink is known.

A photograph must first be divided into ink and paper (`ink.py`). A drawing program knows which
pixels it has painted. From then on, a drawing and a photograph are treated alike (`marks.py`).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .ink import Ink, Pixels
from .marks import Mark, marks_of_ink, moved

# The paper around the ink, in pixels. Ink then never touches the edge of the picture, where
# `marks_of_ink` expects things beside the sheet.
_MARGIN = 4
# The smallest levels of a stroke and of the edge of a stroke, as for a photograph without noise.
_STRONG, _WEAK = 12.0, 6.0


def drawn_marks(ink: Pixels) -> list[Mark]:
    """Find the marks of a drawing in reading order.

    Parameters
    ----------
    ink : ndarray, shape (H, W), uint8
        The drawing: 255 for full ink and 0 for paper.

    Returns
    -------
    list of Mark
        The marks, as `byhand.pictures.marks` returns them. The list is empty if there is no ink.
    """
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return []
    # Paper tells nothing, so only the rectangle around the ink is searched. This takes a fifth of
    # the time for a digit that is half as tall as the drawing.
    top, left = int(rows[0]), int(columns[0])
    level = ink[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.float32)
    level = np.pad(level, _MARGIN)
    even = np.ones_like(level)
    smooth = np.asarray(ndimage.uniform_filter(level, 3))
    found = marks_of_ink(Ink(level, smooth, _STRONG * even, _WEAK * even, even, darker=True))
    corner = top - _MARGIN, left - _MARGIN
    return [moved(mark, corner, level.shape, ink.shape) for mark in found]
