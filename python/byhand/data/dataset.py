"""Data sets, images and labels as uint8 arrays, and the error and the warning about data files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from byhand.checks import channels_last


class DataError(ValueError):
    """A data file or folder that is malformed, incomplete or not what it claims to be."""


class DataWarning(UserWarning):
    """Data were left out, or were read in a way that the user may not expect."""


@dataclass(frozen=True)
class Source:
    """Where a data set was read from. A run stores it, to find and recognise its data again.

    Attributes
    ----------
    folder : str
        The absolute path of the folder.
    name : str
        "MNIST" if every byte of the images and labels is that of MNIST, otherwise empty.
    checksum : str
        The CRC-32 checksums of the data. Two folders with the same data have the same checksum.
    note : str
        What byhand decided about the data, such as "a sixth of each class is the test set".
    pictures : str
        How pictures in class folders were turned into images, "digits" or "plain": see
        `byhand.data.load_class_folders`. Empty for other data.
    """

    folder: str
    name: str
    checksum: str
    note: str = ""
    pictures: str = ""

    def __str__(self) -> str:
        name = f"{self.name}, " if self.name else ""
        note = f" ({self.note})" if self.note else ""
        return f"{name}{self.folder}{note}"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images with their labels.

    Attributes
    ----------
    images : ndarray, uint8, shape (N, H, W) or (N, C, H, W), C-contiguous
        The pixels. In MNIST, the background is 0.
    labels : ndarray, uint8, shape (N,)
        The class of each image.
    class_names : tuple of str or None
        The names of the labels 0, 1, and so on. None if the classes have no names.
    source : Source or None
        Where the data set was read from. None if it was made in Python.

    Raises
    ------
    DataError
        If the arrays or the names do not have this form.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    class_names: tuple[str, ...] | None = None
    source: Source | None = None

    def __post_init__(self) -> None:
        for name, array, ndim in (("images", self.images, (3, 4)), ("labels", self.labels, (1,))):
            fits = isinstance(array, np.ndarray) and array.dtype == np.uint8
            if not fits or array.ndim not in ndim:
                form = f"{getattr(array, 'dtype', type(array))} of shape {np.shape(array)}"
                many = " or ".join(map(str, ndim))
                raise DataError(f"{name} must be a uint8 array of {many} dimensions, not {form}")
            if not array.flags.c_contiguous:
                raise DataError(f"{name} must be C-contiguous: use np.ascontiguousarray")
        if advice := channels_last(self.images.shape):
            raise DataError(
                f"images must have the shape (N, H, W) or (N, C, H, W), not {self.images.shape}: "
                f"{advice}"
            )
        if 0 in self.images.shape[1:]:
            raise DataError(f"images of shape {self.images.shape} have no pixels")
        if len(self.images) != len(self.labels):
            raise DataError(f"{len(self.images):,} images but {len(self.labels):,} labels")
        if self.class_names is not None:
            _check_names(self.class_names, int(self.labels.max(initial=0)))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        *channels, height, width = self.images.shape[1:]
        colours = f", {channels[0]} channels" if channels else ""
        return f"Dataset({len(self):,} images of {height}x{width}{colours})"

    def split(self, n: int) -> tuple[Dataset, Dataset]:
        """Divide the data set: `train, validation = data.split(55_000)`.

        Parameters
        ----------
        n : int
            The number of images in the first part.

        Returns
        -------
        tuple of Dataset
            The first `n` images and the rest, as views.

        Raises
        ------
        ValueError
            If there are fewer than `n` images, or `n` is negative.
        """
        if not 0 <= n <= len(self):
            raise ValueError(f"n must be from 0 to {len(self)}, not {n}")
        return self._part(slice(None, n)), self._part(slice(n, None))

    def hold_out(self, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Hold out a random part of each class: `train, validation = data.hold_out(0.1)`.

        Parameters
        ----------
        fraction : float
            The part of each class that is held out, between 0 and 1. The number of images is
            rounded. If a class has two or more images, each of the two sets gets at least one of
            them. A single image of a class is not held out.
        seed : int
            Decides which images are held out. The same seed always chooses the same images.

        Returns
        -------
        tuple of Dataset
            The remaining images and the held-out images. Both sets are copies, with the images in
            their original order.

        Raises
        ------
        ValueError
            If `fraction` is not between 0 and 1, or no class has two images.
        """
        held = held_out(self.labels, fraction, seed)
        return self._part(~held), self._part(held)

    def _part(self, which: slice | NDArray[np.bool_]) -> Dataset:
        return Dataset(self.images[which], self.labels[which], self.class_names, self.source)


def held_out(labels: NDArray[np.uint8], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Choose the images that `Dataset.hold_out` holds out.

    Parameters
    ----------
    labels : ndarray, shape (N,), uint8
    fraction : float
    seed : int
        `fraction` and `seed` are the arguments of `Dataset.hold_out`.

    Returns
    -------
    ndarray, shape (N,), bool
        True for each image that is held out.

    Raises
    ------
    ValueError
        If `fraction` is not between 0 and 1, or no class has two images.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be between 0 and 1, not {fraction}")
    rng = np.random.default_rng(seed)
    held = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held[rng.permutation(members)[:count]] = True
    if not held.any():
        raise ValueError("no class has two images, so none can be held out")
    return held


def _check_names(names: tuple[str, ...], largest: int) -> None:
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise DataError(f"class_names must be a tuple of strings, not {names!r}")
    if len(names) <= largest:
        raise DataError(
            f"{len(names)} class names ({', '.join(names[:3])}, ...) are too few: "
            f"labels go up to {largest}, and label 0 has the first name"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"class names must differ, but {twice[0]!r} occurs twice")


def one_hot(labels: ArrayLike, classes: int = 10) -> NDArray[np.float32]:
    """Turn integer labels into rows that are 1 at the label and 0 elsewhere.

    Parameters
    ----------
    labels : array_like, shape (N,), integers
    classes : int
        The number of classes.

    Returns
    -------
    ndarray, shape (N, classes), float32

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If the labels are not one-dimensional, or one of them is not from 0 to `classes` - 1.
    """
    index = np.asarray(labels)
    if index.size == 0:
        index = index.astype(np.int64)  # np.asarray([]) is float64
    if index.dtype.kind not in "iu":
        raise TypeError(
            f"labels must be integers, not {index.dtype}: if they are classes, use "
            "labels.astype(np.int64)"
        )
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
