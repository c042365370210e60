"""Data: MNIST from wherever it is, and any other data set in the same form.

    train, test = byhand.data.mnist()
    train, test = byhand.data.load_folder("fashion-mnist")
    train, test = byhand.data.load_class_folders("my-pictures")
    train, validation = train.hold_out(0.1)
    for images, labels in byhand.data.batches(train, 64): ...

The images of a data set are uint8. They become float32 batch by batch.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Sequence

from .batching import batches
from .dataset import DataError, Dataset, DataWarning, Source, one_hot
from .folder import (
    cache_folder,
    data_folder,
    fetches_unasked,
    find_files,
    is_complete,
    load_folder,
)
from .sources import FetchError, ProgressCallback, fetch

__all__ = [
    "DataError",
    "DataWarning",
    "Dataset",
    "FetchError",
    "ProgressCallback",
    "Source",
    "batches",
    "cache_folder",
    "fetch",
    "load_class_folders",
    "load_folder",
    "mnist",
    "one_hot",
]


def mnist(
    root: str | os.PathLike[str] | None = None, *, progress: ProgressCallback | None = None
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


def load_class_folders(
    root: str | os.PathLike[str],
    shape: Sequence[int] | None = None,
    seed: int = 0,
    *,
    pictures: str | None = None,
    class_names: Sequence[str] | None = None,
) -> tuple[Dataset, Dataset]:
    """Load pictures, sorted into a folder for each class, as (train, test).

    The pictures are in ROOT/CLASS or, if the test set is given, in ROOT/train/CLASS and
    ROOT/test/CLASS. Pictures in folders below a class folder belong to the class. The parts may
    also be called training, testing, val, valid or validation, with the same words before or after
    that, as in seg_train and seg_test. If there are both a validation and a test set, the
    validation set joins the training set. If there is only a validation set, it is the test set.
    If there is neither, a sixth of each class becomes the test set. If ROOT holds nothing but one
    folder of folders, or one folder that holds a training and a test set, that folder is taken as
    ROOT. A DataWarning says so if the folder may have been meant as a class, and if folders taken
    for classes hold folders of the same names.

    Files are known as pictures by their content: PNG, JPEG, GIF, BMP, TIFF, WebP and PPM. Hidden
    files and those of operating systems (Thumbs.db, .DS_Store, __MACOSX and so on) are left out,
    and so are files that are no pictures or damaged. A DataWarning names them.

    Parameters
    ----------
    root : path
        The folder.
    shape : (channels, height, width), optional
        The shape of the images, with 1 or 3 channels. If it is not given, pictures of one size up
        to 64 x 64 keep it, and others become 28 x 28, or 32 x 32 if any of them has colour.
    seed : int
        Chooses the test set if the folder has none.
    pictures : {"plain", "digits"}, optional
        "plain" resizes the pictures. "digits" finds, fits and centres the ink, as in MNIST, and
        leaves a picture as it is if that has been done. If it is not given, it is "digits" if the
        resized training pictures look like MNIST's (`picture_form.suitable`), otherwise "plain".
        `source.pictures` of the sets says which.
    class_names : sequence of str, optional
        The classes in the order of their labels. If they are not given, they are the names of the
        folders, sorted; if all are numbers from 0 to 255, the label is the number.

    Returns
    -------
    tuple of Dataset
        The images are in the order of their file names. `class_names` has the names.

    Raises
    ------
    DataError
        If there are no pictures, more than 256 classes, or a class that is not in `class_names`.
    ValueError
        If `shape` or `pictures` is none of these. Only images of one channel can be "digits".
    ModuleNotFoundError
        If Pillow is not installed. It comes with `byhand[pictures]`.

    Notes
    -----
    One picture at a time is in memory beside the images. Loading 60,000 pictures of 256 x 256 takes
    less than 500 MB more than the images.
    """
    # This folder may not import `pictures`, which is above it and needs Pillow. So the module is
    # loaded by name, and only on request.
    folders = importlib.import_module("byhand.pictures.folders")
    train, test = folders.load_pictures(root, shape, seed, pictures, class_names)
    return train, test
