"""Pictures by matplotlib, as the bytes of PNG files. No pyplot: no window, no global state."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from byhand.curves import figure_png
from byhand.data import Dataset

# Letters of a title that fit over an image.
_TITLE = 20


def digits_png(data: Dataset, index: NDArray[np.int64]) -> bytes:
    """The images at `index`, five in a row, each under its label and its number."""
    names = data.class_names
    titles = [str(data.labels[i]) if names is None else names[int(data.labels[i])] for i in index]
    return _grid_png(data, index, titles, 14)


def mistakes_png(data: Dataset, index: NDArray[np.int64], titles: Sequence[str]) -> bytes:
    """The images at `index`, five in a row, each under its title and with its number."""
    return _grid_png(data, index, titles, 10)


def _grid_png(
    data: Dataset, index: NDArray[np.int64], titles: Sequence[str], fontsize: int
) -> bytes:
    rows = max(1, -(-len(index) // 5))
    figure = Figure(figsize=(7.5, 2.1 * rows), layout="constrained")
    grid = figure.subplots(rows, 5, squeeze=False)
    for axes in grid.flat[len(index) :]:
        axes.axis("off")
    for axes, i, title in zip(grid.flat, index, titles, strict=False):
        axes.imshow(_drawable(data.images[i]), cmap="gray", vmin=0, vmax=255)
        axes.set_title("\n".join(textwrap.wrap(title, _TITLE)), fontsize=fontsize)
        axes.set_xlabel(f"no. {i}")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure_png(figure)


def _drawable(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W), or (H, W, 3) of an image (3, H, W)."""
    if image.ndim == 2:
        return image
    return np.moveaxis(image, 0, -1) if len(image) == 3 else image[0]
