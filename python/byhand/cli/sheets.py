"""Draw sheets of the images of a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from byhand.data import Dataset
from byhand.pictures.sheet import Tile, tiles_png
from byhand.plots.figure import drawable_names


def digits_png(data: Dataset, index: NDArray[np.int64]) -> bytes:
    """Draw images, five in a row, each with its label and its number below it.

    Parameters
    ----------
    data : Dataset
        The data set.
    index : ndarray, shape (n,), int64
        The numbers of the images to draw.

    Returns
    -------
    bytes
        The content of a PNG file.
    """
    names = None if data.class_names is None else drawable_names(data.class_names)
    labels = [str(data.labels[i]) if names is None else names[int(data.labels[i])] for i in index]
    return tiles_png(
        [Tile(data.images[i], (label, f"no. {i}")) for i, label in zip(index, labels, strict=True)]
    )


def mistakes_png(data: Dataset, index: NDArray[np.int64], texts: Sequence[Sequence[str]]) -> bytes:
    """Draw images, five in a row, each with some lines of text and its number below it.

    Parameters
    ----------
    data : Dataset
        The data set.
    index : ndarray, shape (n,), int64
        The numbers of the images to draw.
    texts : sequence of sequence of str
        The lines of text of each image.

    Returns
    -------
    bytes
        The content of a PNG file.
    """
    return tiles_png(
        [Tile(data.images[i], (*lines, f"no. {i}")) for i, lines in zip(index, texts, strict=True)]
    )
