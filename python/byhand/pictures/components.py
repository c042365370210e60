"""Connected components of a mask, by runs of its rows: NumPy alone, no loop over pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], int]:
    """(H, W) of 0 outside the mask and 1, 2, ... for its pieces, joined by sides or corners; and
    how many pieces there are.
    """
    height, width = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, first = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)  # one past the run's last column
    a, b = _touching(row, first, end, width)
    piece = np.arange(len(row))
    while True:
        # The smaller of both numbers for two runs that touch, then for all that follow them.
        smaller = np.minimum(piece[a], piece[b])
        new = piece.copy()
        np.minimum.at(new, piece[a], smaller)
        np.minimum.at(new, piece[b], smaller)
        new = new[new[piece]]
        if (new == piece).all():
            break
        piece = new
    _, piece = np.unique(piece, return_inverse=True)
    labels = np.zeros(height * (width + 1), np.intp)
    np.add.at(labels, row * (width + 1) + first, piece + 1)
    np.add.at(labels, row * (width + 1) + end, -(piece + 1))
    return labels.cumsum().reshape(height, width + 1)[:, :width], int(piece.max(initial=-1)) + 1


def _touching(
    row: NDArray[np.intp], first: NDArray[np.intp], end: NDArray[np.intp], width: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of runs in neighbouring rows that share a side or a corner."""
    stride = width + 2
    # Runs of the next row whose end lies behind our first column and whose first before our end.
    low = np.searchsorted(row * stride + end, (row + 1) * stride + first, side="left")
    high = np.searchsorted(row * stride + first, (row + 1) * stride + end, side="right")
    count = high - low
    a = np.repeat(np.arange(len(row)), count)
    b = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count) + np.repeat(low, count)
    return a, b
