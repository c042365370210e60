"""What a data set is: images and labels as bytes, and the error of every file that is not one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


class DataError(ValueError):
    """A data file or folder that is malformed, incomplete or not what it claims to be."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images with their labels.

    images: uint8, C-contiguous, (N, H, W) or (N, C, H, W); in MNIST 0 is background.
    labels: uint8, (N,).
    class_names: of the labels 0, 1, ..., or None where they are their numbers.

    Raises DataError when the two arrays are not of that form.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name, array, ndim in (("images", self.images, (3, 4)), ("labels", self.labels, (1,))):
            fits = isinstance(array, np.ndarray) and array.dtype == np.uint8
            if not fits or array.ndim not in ndim:
                form = f"{getattr(array, 'dtype', type(array))} of shape {np.shape(array)}"
                many = " or ".join(map(str, ndim))
                raise DataError(f"{name} must be a uint8 array of {many} dimensions, not {form}")
            if not array.flags.c_contiguous:
                raise DataError(f"{name} must be C-contiguous: use np.ascontiguousarray")
        if 0 in self.images.shape[1:]:
            raise DataError(f"images of shape {self.images.shape} have no pixels")
        if len(self.images) != len(self.labels):
            raise DataError(f"{len(self.images):,} images but {len(self.labels):,} labels")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        *channels, height, width = self.images.shape[1:]
        colours = f", {channels[0]} channels" if channels else ""
        return f"Dataset({len(self):,} images of {height}x{width}{colours})"

    def split(self, n: int) -> tuple[Dataset, Dataset]:
        """The first `n` images and the rest, as views: `train, validation = data.split(55_000)`."""
        if not 0 <= n <= len(self):
            raise ValueError(f"n must be from 0 to {len(self)}, not {n}")
        return (
            Dataset(self.images[:n], self.labels[:n], self.class_names),
            Dataset(self.images[n:], self.labels[n:], self.class_names),
        )


def one_hot(labels: ArrayLike, classes: int = 10) -> NDArray[np.float32]:
    """Integer labels (N,) to float32 rows (N, classes): 1 at the label, 0 elsewhere.

    Raises TypeError where the labels are not integers, ValueError where they are not
    one-dimensional or one of them is not in [0, classes).
    """
    index = np.asarray(labels)
    if index.size == 0:
        index = index.astype(np.int64)  # np.asarray([]) is float64
    if index.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, not {index.dtype}")
    if index.ndim != 1:
        raise ValueError(f"labels must have one dimension, not the shape {index.shape}")
    if classes < 1:
        raise ValueError(f"classes must be at least 1, not {classes}")
    outside = index[(index < 0) | (index >= classes)]
    if outside.size:
        raise ValueError(f"labels must be from 0 to {classes - 1}, not {outside[0]}")
    rows = np.zeros((len(index), classes), np.float32)
    rows[np.arange(len(index)), index] = 1
    return rows
