"""Data: MNIST from wherever it is, and any other data set in the same form.

    train, test = byhand.data.mnist()
    train, test = byhand.data.load_folder("fashion-mnist")
    train, validation = train.split(55_000)

Images stay uint8 until the gather that makes a batch.
"""

from __future__ import annotations

import os

from .dataset import DataError, Dataset, one_hot
from .folder import cache_folder, find_files, is_complete, load_folder, named_folders
from .official import must_be_official, must_not_be_damaged
from .sources import FetchError, Progress, fetch

__all__ = [
    "DataError",
    "Dataset",
    "FetchError",
    "Progress",
    "cache_folder",
    "fetch",
    "load_folder",
    "mnist",
    "one_hot",
]


def mnist(
    root: str | os.PathLike[str] | None = None, *, progress: Progress | None = None
) -> tuple[Dataset, Dataset]:
    """(train, test), 60,000 and 10,000 images of 28x28: from `root`, $BYHAND_DATA or the cache.

    The first of these folders that holds a data set is read, in any form that `load_folder` knows;
    where none does, MNIST is fetched into the first of them that is given. Files that were fetched
    or lie in the cache folder must be MNIST to the byte (SHA-256, before they are parsed). In a
    folder that you name, a file of MNIST's size beside files of MNIST must be MNIST's too; any
    other folder is your own data set and is returned as it is.

    Raises FetchError, an OSError, where there is no data and none can be fetched; DataError with
    the path where a file is malformed or is a damaged copy of MNIST's, or where a folder that you
    name lacks files and those that it has are not MNIST's.
    """
    # `fetch` has checked what was there and what it added.
    for folder in named_folders(root):
        files = find_files(folder)
        if is_complete(files):
            return load_folder(folder, must_not_be_damaged)
        if files:
            return load_folder(fetch(folder, progress))
    folder = cache_folder()
    if is_complete(find_files(folder)):
        return load_folder(folder, must_be_official)
    return load_folder(fetch(root, progress))
