"""The paper under the ink: a smooth surface of brightness, found although there is ink on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Terms of the surface: even, a slope, bent.
ORDERS = (1, 3, 6)

_ROUNDS = 8
# Sides of the grid of pixels that the surface is fitted to.
_GRID = 48
# Grey levels; paper is never so even that a smaller deviation counts as ink.
_EVEN = 2.0
# Colours that are tried for the commonest, and how many grey levels are near.
_CANDIDATES = 64
_NEAR = 12


class Ground:
    """A surface a channel, even, sloping or quadratic: lamp light and shadows with soft edges.

    Fitted by least squares, each pixel weighted by how well it fits (Cauchy's weights), in rounds:
    ink, far from the surface, ends with no weight. The frame of the picture has more weight than
    its middle, where the ink is. An even surface starts at the commonest colour, which is the
    paper's even where ink fills half of the picture; the others at the frame's median.
    """

    def __init__(self, pixels: Floats, terms: int) -> None:
        """pixels: (H, W, channels). terms: one of ORDERS."""
        height, width = pixels.shape[:2]
        rows = np.unique(np.linspace(0, height - 1, _GRID).round().astype(np.intp))
        columns = np.unique(np.linspace(0, width - 1, _GRID).round().astype(np.intp))
        y, x = _axis(rows, height), _axis(columns, width)
        basis = _basis(y, x).reshape(-1, 6)[:, :terms]
        values = pixels[np.ix_(rows, columns)].reshape(len(basis), -1).astype(np.float64)
        outwards = np.maximum.outer(np.abs(y), np.abs(x)).ravel()
        frame = outwards >= min(0.75, outwards.max())
        prior = np.where(frame, 1.0, 0.3)
        self._surface = np.zeros((6, values.shape[1]))
        self._surface[0] = _commonest(values, prior) if terms == 1 else np.median(values[frame], 0)
        for _ in range(_ROUNDS):
            far = np.linalg.norm(values - basis @ self._surface[:terms], axis=1)
            scale = max(2.6 * float(np.quantile(far, 0.3)), _EVEN)  # a standard deviation
            weighted = basis * (prior / (1 + (far / scale) ** 2) ** 2)[:, np.newaxis]
            # A picture of one row or column fixes not all the terms.
            square = weighted.T @ basis + 1e-9 * np.eye(terms)
            self._surface[:terms] = np.linalg.solve(square, weighted.T @ values)

    def at(
        self, top: float, left: float, bottom: float, right: float, shape: tuple[int, int]
    ) -> Floats:
        """(height, width, channels) for a part of the picture, whose sides are 0 to 1."""
        y = 2 * (top + _middles(shape[0]) * (bottom - top)) - 1
        x = 2 * (left + _middles(shape[1]) * (right - left)) - 1
        return (_basis(y, x) @ self._surface).astype(np.float32)


def _commonest(values: Doubles, weight: Doubles) -> Doubles:
    """Of some of the colours (N, channels) the one that most others come near to."""
    some = values[:: max(1, len(values) // _CANDIDATES)]
    near = np.abs(values[::3] - some[:, np.newaxis]).max(axis=2) < _NEAR
    commonest: Doubles = some[(near @ weight[::3]).argmax()]
    return commonest


def _middles(size: int) -> Doubles:
    return np.asarray((np.arange(size) + 0.5) / size, np.float64)


def _axis(places: NDArray[np.intp], size: int) -> Doubles:
    """Pixels' middles from -1 to 1."""
    return (2 * places + 1) / size - 1


def _basis(y: Doubles, x: Doubles) -> Doubles:
    y, x = np.meshgrid(y, x, indexing="ij")
    return np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=-1)
