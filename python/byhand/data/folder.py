"""A folder that holds a data set, in any of the forms that MNIST travels in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError, Dataset
from .idx import parse_idx

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
NPZ_NAME = "mnist.npz"
JSON_NAME = "mnist.json.gz"

_IDX = frozenset(IDX_NAMES)

# Sees the bytes of all files before anything parses them; raises DataError to refuse them.
Check = Callable[[Mapping[Path, NDArray[np.uint8]]], None]


def load_folder(
    root: str | os.PathLike[str], check: Check | None = None
) -> tuple[Dataset, Dataset]:
    """(train, test) from a folder: MNIST or any other data set of the same form.

    The first of these that the folder holds is read:
      - the four IDX files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte
        and t10k-labels-idx1-ubyte, each as it is or with .gz, also written train-images.idx3-ubyte;
      - mnist.npz with x_train, y_train, x_test, y_test, as Keras has it;
      - mnist.json.gz: [train, validation, test], each [images, labels], images as rows of floats in
        [0, 1]. They become bytes again, and the validation images join the training set.
    Images may have any size, the same in both sets. No hash is checked unless `check` does.

    Raises DataError with the path where files are missing or malformed, OSError where one cannot be
    read.
    """
    folder = Path(root)
    files = find_files(folder)

    def read(*names: str) -> dict[Path, NDArray[np.uint8]]:
        contents = {files[name]: np.fromfile(files[name], np.uint8) for name in names}
        if check is not None:
            check(contents)
        return contents

    if _IDX.issubset(files):
        x_train, y_train, x_test, y_test = (
            parse_idx(content, 3 if "idx3" in path.name else 1, path)
            for path, content in read(*IDX_NAMES).items()
        )
    elif NPZ_NAME in files:
        from .formats import read_npz

        ((path, content),) = read(NPZ_NAME).items()
        x_train, y_train, x_test, y_test = read_npz(content, path)
    elif JSON_NAME in files:
        from .formats import read_json

        ((path, content),) = read(JSON_NAME).items()
        x_train, y_train, x_test, y_test = read_json(content, path)
    else:
        missing = ", ".join(name for name in IDX_NAMES if name not in files)
        raise DataError(f"{folder}: no data set: {missing} missing, and no {NPZ_NAME}")
    try:
        train, test = Dataset(x_train, y_train), Dataset(x_test, y_test)
    except DataError as error:
        raise DataError(f"{folder}: {error}") from error
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(f"{folder}: training and test images differ in size: {train}, {test}")
    return train, test


def find_files(folder: Path) -> dict[str, Path]:
    """Standard name to path of the data files in `folder`; unpacked before .gz. May be empty."""
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
    """Whether the files that `find_files` returned make a data set."""
    return _IDX.issubset(files) or NPZ_NAME in files or JSON_NAME in files


def named_folders(root: str | os.PathLike[str] | None) -> list[Path]:
    """The folders that the user names: `root`, then $BYHAND_DATA. They need not exist yet."""
    folders = []
    for label, path in (("root", root), ("BYHAND_DATA", os.environ.get("BYHAND_DATA"))):
        if path:
            try:
                folder = Path(path).expanduser()
            except RuntimeError as error:  # no such user
                raise DataError(f"{label} must be a folder, not {str(path)!r}: {error}") from None
            if folder.exists() and not folder.is_dir():
                raise DataError(f"{label} must be a folder, not {str(path)!r}")
            folders.append(folder)
    return folders


def cache_folder() -> Path:
    """The platform's cache folder for this data, e.g. ~/.cache/byhand/mnist."""
    from platformdirs import user_cache_path

    return user_cache_path("byhand", appauthor=False) / "mnist"
