"""Read a data set from a folder, in one of three forms in which MNIST is published."""

from __future__ import annotations

import dataclasses
import os
import shlex
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .dataset import DataError, Dataset, DataWarning
from .idx import parse_idx
from .official import source_of

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
NPZ_NAME = "mnist.npz"
JSON_NAME = "mnist.json.gz"

# Files beside the data that hold the names of the classes, one per line.
CLASS_NAME_FILES = ("classes.txt", "class_names.txt", "labels.txt")

_IDX = frozenset(IDX_NAMES)


def load_folder(
    root: str | os.PathLike[str], *, class_names: Sequence[str] | None = None
) -> tuple[Dataset, Dataset]:
    """Load MNIST, or any other data set of the same form, as (train, test).

    If the folder holds several of these forms, the function reads the first of them:

    - The four IDX files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte
      and t10k-labels-idx1-ubyte, each plain or gzipped (.gz). A name may also have a dot before
      idx, as in train-images.idx3-ubyte.
    - mnist.npz, the file of Keras, with the arrays x_train, y_train, x_test and y_test.
    - mnist.json.gz: [train, validation, test], where each set is [images, labels] and each image is
      a list of floats in [0, 1]. The floats are converted to bytes, and the validation images join
      the training set.

    The images may have any size, but all of them must have the same size. `load_class_folders`
    loads folders of picture files.

    Parameters
    ----------
    root : path
        The folder.
    class_names : sequence of str, optional
        The names of the labels 0, 1, and so on. If they are not given, they are the lines of
        classes.txt, class_names.txt or labels.txt in the folder. If there is no such file, the
        classes have no names.

    Returns
    -------
    tuple of Dataset
        The training set and the test set. Their `source` says whether they are MNIST.

    Raises
    ------
    DataError
        If files are missing or malformed. The message has the path.
    OSError
        If a file cannot be read.
    """
    folder = Path(root).expanduser()
    files = find_files(folder)

    def read(name: str) -> tuple[np.ndarray, Path]:
        return np.fromfile(files[name], np.uint8), files[name]

    if _IDX.issubset(files):
        try:
            x_train, y_train, x_test, y_test = (
                parse_idx(content, 3 if "idx3" in name else 1, path)
                for name in IDX_NAMES
                for content, path in [read(name)]
            )
        except DataError as error:
            raise DataError(f"{error}; {_how_to_replace(folder)}") from error
    elif NPZ_NAME in files:
        from .formats import read_npz

        x_train, y_train, x_test, y_test = read_npz(*read(NPZ_NAME))
    elif JSON_NAME in files:
        from .formats import read_json

        x_train, y_train, x_test, y_test = read_json(*read(JSON_NAME))
    else:
        raise DataError(what_is_missing(folder))
    try:
        train, test = Dataset(x_train, y_train), Dataset(x_test, y_test)
        names = _names_beside(folder, train, test) if class_names is None else tuple(class_names)
        source = source_of(folder, train, test)
        train, test = (
            dataclasses.replace(part, class_names=names, source=source) for part in (train, test)
        )
    except DataError as error:
        raise DataError(f"{folder}: {error}") from error
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"{folder}: training and test images differ in size: training {train}, test {test}"
        )
    return train, test


def _how_to_replace(folder: Path) -> str:
    return (
        "get the file again or, if it is a file of MNIST, delete it and fetch it: "
        f"{_fetch_command(folder)}"
    )


def _fetch_command(folder: Path) -> str:
    return shlex.join(["byhand", "data", "fetch", "--data", str(folder)])


def _names_beside(folder: Path, train: Dataset, test: Dataset) -> tuple[str, ...] | None:
    """Return the class names in the first file of CLASS_NAME_FILES that exists.

    Return None if there is no such file, or, after a warning, if the names do not fit the labels.
    """
    path = next((folder / name for name in CLASS_NAME_FILES if (folder / name).is_file()), None)
    if path is None:
        return None
    names = read_class_names(path)
    try:
        dataclasses.replace(train, class_names=names)
        dataclasses.replace(test, class_names=names)
    except DataError as error:
        warnings.warn(f"{path} is not used: {error}", DataWarning, stacklevel=4)
        return None
    return names


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the lines of a text file, without blank lines.

    Parameters
    ----------
    path : Path
        The path of the file.

    Raises
    ------
    DataError
        If the file is not UTF-8 text.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be a UTF-8 text file of class names: {error}") from None
    return tuple(line.strip() for line in lines if line.strip())


def find_files(folder: Path) -> dict[str, Path]:
    """Find the data files in a folder.

    If the folder has a file both plain and as .gz, the plain file is taken.

    Parameters
    ----------
    folder : Path
        The folder. It need not exist.

    Returns
    -------
    dict of str to Path
        The path of each file, under its name in IDX_NAMES, NPZ_NAME or JSON_NAME.
    """
    found = {}
    for name in IDX_NAMES:
        dotted = name.replace("-idx", ".idx")
        for variant in (name, dotted, f"{name}.gz", f"{dotted}.gz"):
            if name not in found and (folder / variant).is_file():
                found[name] = folder / variant
    for name in (NPZ_NAME, JSON_NAME):
        if (folder / name).is_file():
            found[name] = folder / name
    return found


def is_complete(files: dict[str, Path]) -> bool:
    """Return whether the files that `find_files` found make a complete data set.

    Parameters
    ----------
    files : dict of str to Path
        The result of `find_files`.
    """
    return _IDX.issubset(files) or NPZ_NAME in files or JSON_NAME in files


def what_is_missing(folder: Path) -> str:
    """Return a sentence that says why a folder holds no data set, and what to do.

    The sentence suggests fetching MNIST into the folder, unless the folder holds other files and
    none of MNIST's files.

    Parameters
    ----------
    folder : Path
        A folder without a complete data set.
    """
    command = _fetch_command(folder)
    if not folder.exists():
        return f"{folder} does not exist; to fetch MNIST into it: {command}"
    files = find_files(folder)
    if files:
        missing = ", ".join(name for name in IDX_NAMES if name not in files)
        return (
            f"{folder} holds no whole data set: {missing} missing; if the other files are MNIST's, "
            f"fetch the missing ones with: {command}"
        )
    if not _holds_other_things(folder):
        return f"{folder} is empty; to fetch MNIST into it: {command}"
    if (inner := folder_inside(folder)) is not None:
        return f"{folder}: no data set, but {inner} holds one: give that folder instead"
    return (
        f"{folder}: no data set, because it holds neither {', '.join(IDX_NAMES)} nor {NPZ_NAME} "
        f"nor {JSON_NAME}. Folders of pictures, one for each class, are loaded by "
        "byhand.data.load_class_folders or --data"
    )


def folder_inside(folder: Path) -> Path | None:
    """Return the first folder inside `folder` that holds a data set, or None.

    The function looks into NAME and NAME/raw for each folder NAME. torchvision, for example, keeps
    MNIST in MNIST/raw.

    Parameters
    ----------
    folder : Path
        The folder to search.
    """
    inner = (inner for path in sorted(_folders(folder)) for inner in (path, path / "raw"))
    return next((path for path in inner if is_complete(find_files(path))), None)


def has_folders(folder: Path) -> bool:
    """Return whether a folder holds other folders, which may be class folders.

    Parameters
    ----------
    folder : Path
        The folder. It need not exist.
    """
    return folder.is_dir() and any(_folders(folder))


def _folders(folder: Path) -> Iterator[Path]:
    paths = (path for path in folder.iterdir() if not path.name.startswith("."))
    return (path for path in paths if path.is_dir())


def fetches_unasked(root: str | os.PathLike[str] | None) -> bool:
    """Return whether `mnist(root)` may fetch MNIST.

    It may fetch into the cache folder, and into $BYHAND_DATA if this folder holds only files of
    MNIST or nothing. It never fetches into a folder that the caller names.

    Parameters
    ----------
    root : path or None
        The argument of `mnist`.
    """
    folder = data_folder(root)
    return root is None and (folder == cache_folder() or not _holds_other_things(folder))


def _holds_other_things(folder: Path) -> bool:
    """Return whether the folder holds visible files or folders that `find_files` does not find."""
    files = set(find_files(folder).values())
    return folder.is_dir() and any(
        path not in files and not path.name.startswith(".") for path in folder.iterdir()
    )


def data_folder(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the data. It need not exist.

    Parameters
    ----------
    root : path, optional
        The folder. If it is not given, the folder is $BYHAND_DATA or, if that is not set, the cache
        folder.

    Raises
    ------
    DataError
        If the path is empty or not a folder.
    """
    for label, path in (("root", root), ("BYHAND_DATA", os.environ.get("BYHAND_DATA") or None)):
        if path is not None:
            try:
                folder = Path(path).expanduser()
            except RuntimeError as error:  # ~name, but there is no user of this name
                raise DataError(f"{label} must be a folder, not {str(path)!r}: {error}") from None
            if path == "" or (folder.exists() and not folder.is_dir()):
                raise DataError(f"{label} must be a folder, not {str(path)!r}")
            return folder
    return cache_folder()


def cache_folder() -> Path:
    """Return the platform's cache folder for MNIST, for example ~/.cache/byhand/mnist.

    Raises
    ------
    DataError
        If the user has no home folder and so no cache folder.
    """
    from platformdirs import user_cache_path

    try:
        folder = user_cache_path("byhand", appauthor=False) / "mnist"
    except RuntimeError:
        folder = Path()
    if not folder.is_absolute():  # older versions of platformdirs return "~/.cache"
        raise DataError(
            "this user has no home folder, so there is no cache folder for data: set HOME or "
            "XDG_CACHE_HOME to an absolute path, or name a folder by --data or BYHAND_DATA"
        )
    return folder
