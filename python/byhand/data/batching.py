"""The batches of a data set, for a training loop that a user writes by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.checks import channels_last, flag, integer
from byhand.nn.parameter import stream

from .dataset import Dataset


def batches(
    dataset: Dataset | tuple[NDArray[Any], NDArray[Any]],
    batch_size: int,
    *,
    shuffle: bool = True,
    seed: int = 0,
) -> Iterator[tuple[NDArray[np.float32], NDArray[Any]]]:
    """Iterate once over the batches of a data set.

    Parameters
    ----------
    dataset : Dataset or pair (images, labels)
        Images have the shape (N, H, W) or (N, C, H, W). They are uint8, or float32 in [0, 1]
        (pixel / 255). The labels of a pair are integers (N,) or any array with one row per image,
        such as probabilities.
    batch_size : int
        The number of images in a batch. The last batch may be smaller.
    shuffle : bool
        Whether the images come in a random order. Otherwise they come in the order of the data set.
    seed : int
        Decides the random order, from 0 to 2**64 - 1. Give each epoch another seed, because equal
        seeds give equal orders. The order is that of the first epoch of `Trainer.fit` with the same
        seed.

    Yields
    ------
    images : ndarray, shape (n, C, H, W), float32
        Pixels in [0, 1], ready for `forward` of a layer or a network. Each batch is a new array.
    labels : ndarray, shape (n,) or (n, ...)
        The labels of these images. Integers become int64. Other labels keep their dtype.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit. The error is raised at the call, not at the first batch.

    Notes
    -----
    `Trainer` trains the networks of `byhand.models` on pixels in [-1, 1], because a network usually
    learns faster if the mean of its inputs is near 0. In a loop by hand, `2 * images - 1` gives
    such pixels. `Model.predict` and `evaluate` scale pixels themselves: they take uint8, or float32
    in [0, 1].

    Examples
    --------
    >>> train, test = byhand.data.mnist()
    >>> for epoch in range(10):
    ...     for images, labels in byhand.data.batches(train, 64, seed=epoch):
    ...         value = loss(network(images), labels)
    """
    images, labels = _checked(dataset)
    batch_size = integer("batch_size", batch_size, 1)
    generator = stream(seed, 1)  # as in epoch 1 of `Trainer.fit`
    order = np.arange(len(images))
    if flag("shuffle", shuffle):
        order = generator.permutation(len(images))
    starts = range(0, len(images), batch_size)
    return (
        (_gather(images, index), labels.take(index, axis=0))
        for index in (order[start : start + batch_size] for start in starts)
    )


def _checked(dataset: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return images (N, C, H, W) and labels after all checks."""
    if isinstance(dataset, tuple) and len(dataset) == 2:
        images, labels = dataset
    elif hasattr(dataset, "images") and hasattr(dataset, "labels"):
        images, labels = dataset.images, dataset.labels
    else:
        raise TypeError(
            f"dataset must be a Dataset or a pair (images, labels), not {type(dataset).__name__}"
        )
    for name, array in (("images", images), ("labels", labels)):
        if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
            raise TypeError(f"{name} must be a NumPy array, not {type(array).__name__}")
    if images.dtype not in (np.uint8, np.float32):
        raise TypeError(
            f"images must be uint8, or float32 in [0, 1] (pixel / 255), not {images.dtype}"
        )
    advice = channels_last(images.shape)
    if images.ndim not in (3, 4) or advice:
        raise ValueError(
            f"images must have the shape (N, H, W) or (N, C, H, W), not {images.shape}"
            + (f": {advice}" if advice else "")
        )
    if images.dtype == np.float32 and not ((images >= 0) & (images <= 1)).all():
        raise ValueError("images of float32 must lie in [0, 1]: divide by 255, or give uint8")
    if labels.ndim == 0 or len(labels) != len(images):
        raise ValueError(
            f"labels must have {len(images)} rows, one per image, not the shape {labels.shape}"
        )
    if labels.dtype.kind in "iu":
        largest = int(labels.max(initial=0))  # an int, because NumPy 1 compares uint64 as float64
        if largest >= 2**63:
            raise ValueError(f"labels must be less than 2**63, not {largest}")
        labels = labels.astype(np.int64)
    # If the images were not contiguous, the kernel would copy all of them for each batch.
    images = np.ascontiguousarray(images)
    return (images[:, np.newaxis] if images.ndim == 3 else images), labels


def _gather(images: NDArray[Any], index: NDArray[np.int64]) -> NDArray[np.float32]:
    if images.dtype == np.uint8:
        return kernels.gather_images(images, index, scale=1 / 255, offset=0.0)
    taken: NDArray[np.float32] = images.take(index, axis=0)
    return taken
