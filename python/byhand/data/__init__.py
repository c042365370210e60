"""Data: MNIST from wherever it is, and any other data set in the same form.

    train, test = byhand.data.mnist()
    train, test = byhand.data.load_folder("fashion-mnist")
    train, validation = train.hold_out(0.1)

Images stay uint8 until the gather that makes a batch.
"""

from __future__ import annotations

import os
import warnings

from .dataset import DataError, Dataset, DataWarning, Source, one_hot
from .folder import (
    cache_folder,
    data_folder,
    fetches_unasked,
    find_files,
    is_complete,
    load_folder,
)
from .sources import FetchError, Progress, fetch

__all__ = [
    "DataError",
    "DataWarning",
    "Dataset",
    "FetchError",
    "Progress",
    "Source",
    "cache_folder",
    "fetch",
    "load_folder",
    "mnist",
    "one_hot",
]


def mnist(
    root: str | os.PathLike[str] | None = None, *, progress: Progress | None = None
) -> tuple[Dataset, Dataset]:
    """Load MNIST as (train, test): 60,000 and 10,000 images of 28 x 28.

    Parameters
    ----------
    root : path, optional
        A folder that holds MNIST or another data set, in any form that `load_folder` reads. It is
        read as it is, and nothing is fetched. If it is not given, the folder is $BYHAND_DATA or,
        if that is not set, the cache folder, and MNIST is fetched into it if it is not there yet.
    progress : callable, optional
        Called as progress(file name, bytes so far, bytes in all) during a fetch.

    Returns
    -------
    tuple of Dataset
        `train.source.name` is "MNIST" if the data are MNIST's to the byte. If the cache folder
        holds other data, they are loaded with a DataWarning.

    Raises
    ------
    FetchError
        If there are no data and no server delivers them. It is an OSError.
    DataError
        If `root` holds no data set, or a file is malformed.
    """
    folder = data_folder(root)
    if not is_complete(find_files(folder)) and fetches_unasked(root):
        folder = fetch(progress=progress)
    train, test = load_folder(folder)
    if folder == cache_folder() and train.source is not None and not train.source.name:
        warnings.warn(
            f"the cache folder {folder} holds a data set that is not MNIST: delete it to fetch "
            "MNIST, or keep the other data set in a folder that you name",
            DataWarning,
            stacklevel=2,
        )
    return train, test
