"""Sheets of a data set's images, as the bytes of PNG files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from byhand.data import Dataset
from byhand.pictures.sheet import Tile, tiles_png
from byhand.plots.figure import drawable_names


def digits_png(data: Dataset, index: NDArray[np.int64]) -> bytes:
    """Draw the images at `index`, five in a row, each above its label and its number."""
    names = None if data.class_names is None else drawable_names(data.class_names)
    labels = [str(data.labels[i]) if names is None else names[int(data.labels[i])] for i in index]
    return tiles_png(
        [Tile(data.images[i], (label, f"no. {i}")) for i, label in zip(index, labels, strict=True)]
    )


def mistakes_png(data: Dataset, index: NDArray[np.int64], texts: Sequence[Sequence[str]]) -> bytes:
    """Draw the images at `index`, five in a row, each above its lines of text and its number."""
    return tiles_png(
        [Tile(data.images[i], (*lines, f"no. {i}")) for i, lines in zip(index, texts, strict=True)]
    )
