"""Load MNIST and other data sets of images, and iterate over their batches.

For example::

    train, test = byhand.data.mnist()
    train, test = byhand.data.load_folder("fashion-mnist")
    train, test = byhand.data.load_class_folders("my-pictures")
    train, validation = train.hold_out(0.1)
    for images, labels in byhand.data.batches(train, 64): ...

The images of a data set are uint8. Only the images of the current batch are converted to float32.
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
        A folder that holds MNIST or another data set, in any form that `load_folder` reads. If it
        is given, nothing is fetched. If it is not given, the folder is $BYHAND_DATA or, if that is
        not set, the cache folder. MNIST is fetched into the cache folder if this has no data set,
        and into $BYHAND_DATA if this holds nothing but files of MNIST.
    progress : callable, optional
        Called as progress(file name, bytes so far, bytes in all) during a fetch.

    Returns
    -------
    tuple of Dataset
        The training set and the test set. `train.source.name` is "MNIST" if every byte of the data
        is that of MNIST.

    Raises
    ------
    FetchError
        If there are no data and no server delivers them. FetchError is a subclass of OSError.
    DataError
        If the folder holds no data set and may not be fetched into, or if a file is malformed.

    Warns
    -----
    DataWarning
        If the cache folder holds another data set, which is then loaded.
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
    """Load pictures from folders, one folder per class, as (train, test).

    Two layouts are possible:

    - ROOT/CLASS/...: each folder in ROOT is a class. A sixth of each class becomes the test set.
    - ROOT/train/CLASS/... and ROOT/test/CLASS/...

    Pictures in folders below a class folder belong to the class. The folders train and test may
    also be called training and testing. A validation set (val, valid or validation) joins the
    training set if there is a test set, otherwise it is the test set. All these names may have the
    same words before or after them, such as seg_train and seg_test.

    If ROOT holds only one folder, and that folder holds folders, it is taken as ROOT. If exactly
    one of several folders in ROOT holds a training set and a test or validation set, that folder is
    taken as ROOT.

    A file is a picture if its content is PNG, JPEG, GIF, BMP, TIFF, WebP or PPM, whatever its name
    is. Hidden files, files of operating systems (Thumbs.db, .DS_Store, __MACOSX and so on), damaged
    files and files that are not pictures are left out.

    Parameters
    ----------
    root : path
        The folder.
    shape : (channels, height, width), optional
        The shape of the images, with 1 or 3 channels. If it is not given and all pictures have the
        same size of at most 64 x 64, they keep this size. Otherwise they become 28 x 28, or 32 x 32
        if any of them has colour.
    seed : int
        Chooses the pictures of the test set if the folder has no test set.
    pictures : {"plain", "digits"}, optional
        How to turn pictures into images. "plain" resizes them. "digits" cuts out the ink, scales it
        to the size that digits have in MNIST, and centres it. Pictures that already
        have this form stay unchanged. If `pictures` is not given, the training pictures decide: the
        result is "digits" if they look like images of MNIST after resizing
        (`picture_form.suitable`), otherwise "plain". `source.pictures` of both sets has the result.
    class_names : sequence of str, optional
        The classes in the order of their labels. If they are not given, they are the names of the
        folders in sorted order. If all of these names are numbers from 0 to 255, each number is the
        label.

    Returns
    -------
    tuple of Dataset
        The training set and the test set, with the images in the order of their file names and the
        class names in `class_names`.

    Raises
    ------
    DataError
        If there are no pictures, more than 256 classes, or a class that is not in `class_names`.
    ValueError
        If `shape` or `pictures` is none of the values above, or if `pictures` is "digits" and the
        images have 3 channels.
    ModuleNotFoundError
        If Pillow is not installed. It comes with `byhand[pictures]`.

    Warns
    -----
    DataWarning
        If files were left out, or if the user may have meant another layout of the folder. For
        example, the folder that was taken as ROOT may have been meant as a class.

    Notes
    -----
    Only one picture at a time is in memory beside the images. Loading 60,000 pictures of 256 x 256
    takes less than 500 MB of memory in addition to the images.
    """
    # No import statement: `byhand.data` may not depend on `byhand.pictures`, a higher layer that
    # needs Pillow. So the module is loaded by name, and only in this function.
    folders = importlib.import_module("byhand.pictures.folders")
    train, test = folders.load_pictures(root, shape, seed, pictures, class_names)
    return train, test
