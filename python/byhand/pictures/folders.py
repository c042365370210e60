"""Load a data set from a folder of class folders, and write a data set as such a folder."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from byhand.data import DataError, Dataset, DataWarning, Source
from byhand.data.dataset import held_out
from byhand.data.folder import CLASS_NAME_FILES, find_files
from byhand.files.atomic import write_atomic
from byhand.models.images import image_shape
from byhand.models.picture_form import check_pictures, suitable

from .convert import image_and_marks
from .encode import png
from .listing import File, Report, is_hidden, list_pictures
from .read import PictureError, read_picture

Shape = tuple[int, int, int]

# If all pictures have the same size and no side is longer than `_LARGEST` pixels, they keep their
# size. Other pictures become 28 x 28, or 32 x 32 if one of them has colour.
_LARGEST = 64
_GREY_SIDE, _COLOUR_SIDE = 28, 32

# If the caller does not say how to prepare the pictures, a sample of at most this many pictures
# decides it.
_SAMPLE = 200

# The share of each class that becomes the test set, if the folder has no test set.
_HELD_OUT = 1 / 6
_PARTS = ("train", "test")
_MOST_CLASSES = 256  # labels are bytes


def load_pictures(
    root: str | os.PathLike[str],
    shape: Sequence[int] | None,
    seed: int,
    pictures: str | None,
    class_names: Sequence[str] | None,
    *,
    only_test: bool = False,
) -> tuple[Dataset, Dataset]:
    """Load a folder of class folders. `byhand.data.load_class_folders` calls this function.

    Parameters
    ----------
    root : path
        The folder.
    shape : (channels, height, width) or None
        The shape of the images. If it is None, it depends on the size and the colour of the
        pictures.
    seed : int
        The seed that chooses the test set if the folder has none.
    pictures : {"plain", "digits"} or None
        How to prepare the pictures. If it is None, a sample of the pictures decides it.
    class_names : sequence of str or None
        The classes in the order of their labels. If it is None, the classes are the names of the
        folders in sorted order. If all of these names are numbers from 0 to 255, the label of each
        class is its number.
    only_test : bool
        Leave the training set empty. Its files are read for the checksum, but not decoded.

    Returns
    -------
    tuple of Dataset
        The training set and the test set.

    Raises
    ------
    DataError
        If the folder does not exist, if it has no pictures, if there are more than 256 classes, if
        a class is not in `class_names`, or if the images would not have 1 or 3 channels.
    ValueError
        If `shape` or `pictures` is none of the values above.

    Warns
    -----
    DataWarning
        If files were left out, or if the user may have meant another layout of the folder.
    """
    if shape is not None:
        shape = image_shape(shape, "shape")
    if pictures is not None:
        check_pictures(pictures, 1 if shape is None else shape[0])
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataError(f"{root} is not a folder" if root.exists() else f"{root} does not exist")
    report = Report(root)
    train, test = list_pictures(report)
    if not train:
        raise DataError(
            f"{root}: no class folders with pictures. Each class needs a folder: ROOT/CLASS/..., "
            f"or ROOT/train/CLASS/... and ROOT/test/CLASS/... {report.text()}".strip()
        )
    names = _class_names(root, train + (test or []), class_names)
    empty = {normalize("NFC", path.name): path for path in report.empty}
    for name, path in empty.items():
        if name not in names:
            report.skip(path, "a folder without pictures")
    trained = {file.name for file in train}
    if len(trained) == 1 and empty:
        report.notes.append(f"{train[0].name} is the only class")
    if untrained := sorted({file.name for file in test or []} - trained - set(empty)):
        report.notes.append(f"no training pictures of {', '.join(untrained)}")
    note = ""
    if test is None:
        train, test = _split(root, train, seed)
        note = "a sixth of each class is the test set"
    if shape is None:
        shape = (1, _GREY_SIDE, _GREY_SIDE) if pictures == "digits" else _shape(train + test)
    if shape[0] not in (1, 3):
        raise DataError(f"{root}: pictures have 1 or 3 channels, not {shape[0]}")
    if pictures is None:
        pictures = "plain" if shape[0] == 3 else _suitable(root, train, names, shape)
    loaded = [
        _load(part, names, shape, None if only_test and part is train else pictures, report)
        for part in (train, test)
    ]
    if text := report.text():
        warnings.warn(f"{root}: {text}", DataWarning, stacklevel=3)
    for part, (images, _, _) in zip(_PARTS, loaded, strict=True):
        if len(images) == 0 and not (only_test and part == "train"):
            raise DataError(f"{root}: no pictures in the class folders of the {part} set")
    checksum = "-".join(checksum for _, _, checksum in loaded)
    source = Source(str(root.resolve()), "", checksum, note, pictures)
    sets = [Dataset(images, labels, names, source) for images, labels, _ in loaded]
    return sets[0], sets[1]


def write_pictures(root: Path, train: Dataset, test: Dataset) -> None:
    """Write each image as a PNG file: root/train/CLASS/00017.png or root/test/CLASS/00017.png.

    The name of a file is the index of the image in its set.

    Parameters
    ----------
    root : Path
        The folder to create.
    train, test : Dataset
        The two sets.

    Raises
    ------
    DataError
        If `root` exists and is not an empty folder, or if a class name cannot be the name of a
        folder.
    OSError
        If a file cannot be written.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root} exists and is not an empty folder")
    for name in train.class_names or ():
        if is_hidden(name) or not name or "/" in name or "\0" in name:
            raise DataError(f"the class name {name!r} cannot be the name of a folder of pictures")
    largest = max(int(data.labels.max(initial=0)) for data in (train, test))
    for part, data in zip(_PARTS, (train, test), strict=True):
        digits = max(5, len(str(len(data))))
        for label in range(largest + 1):
            (root / part / _name(data, label)).mkdir(parents=True, exist_ok=True)
        for i, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
            path = root / part / _name(data, int(label)) / f"{i:0{digits}}.png"
            path.write_bytes(png(_as_picture(image)))


def _name(data: Dataset, label: int) -> str:
    return str(label) if data.class_names is None else data.class_names[label]


def _as_picture(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image if image.ndim == 2 else image.transpose(1, 2, 0).copy())


def write_idx(root: Path, train: Dataset, test: Dataset) -> None:
    """Write a data set as the four IDX files of MNIST.

    If a class has a name other than its label, the function also writes a file of class names.

    Parameters
    ----------
    root : Path
        The folder. It is created if it does not exist.
    train, test : Dataset
        The two sets of grey images.

    Raises
    ------
    DataError
        If the images are not grey, or if `root` holds a data set already.
    OSError
        If a file cannot be written.
    """
    from byhand.data.folder import IDX_NAMES
    from byhand.data.idx import idx_bytes

    if there := find_files(root):
        raise DataError(f"{root} holds a data set already: {', '.join(sorted(there))}")
    if train.images.ndim != 3:
        raise DataError(
            f"IDX files of MNIST's form hold grey images, not {train}: "
            "use the folder itself, as --data"
        )
    root.mkdir(parents=True, exist_ok=True)
    arrays = (train.images, train.labels, test.images, test.labels)
    for name, array in zip(IDX_NAMES, arrays, strict=True):
        write_atomic(root / name, idx_bytes(array))
    names = train.class_names or ()
    if any(name != str(label) for label, name in enumerate(names)):
        write_atomic(root / CLASS_NAME_FILES[0], "".join(f"{name}\n" for name in names).encode())


# --------------------------------------------------------------------------------------------------


def _class_names(
    root: Path, files: Sequence[File], wanted: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the names of the classes in the order of their labels."""
    found = {file.name for file in files}
    if wanted is not None:
        if unknown := sorted(found - {normalize("NFC", name) for name in wanted}):
            raise DataError(
                f"{root}: the folder {unknown[0]} is not one of the classes {', '.join(wanted)}: "
                "rename it, or move it away"
            )
        return tuple(wanted)
    numbers = all(name.isascii() and name.isdigit() for name in found)
    names = sorted(found, key=lambda name: (int(name), name) if numbers else (0, name))
    if len(names) > _MOST_CLASSES:
        raise DataError(
            f"{root}: {len(names)} classes, but byhand takes at most {_MOST_CLASSES}, because a "
            "label is one byte"
        )
    values = {int(name): name for name in names} if numbers else {}
    if len(values) == len(names) and max(values) < _MOST_CLASSES:
        # The names are different numbers from 0 to 255, and the label of each is its value. If a
        # smaller number has no folder, it becomes a class without pictures.
        return tuple(values.get(value, str(value)) for value in range(max(values) + 1))
    return tuple(names)


def _split(root: Path, files: Sequence[File], seed: int) -> tuple[list[File], list[File]]:
    """Split the files into a training set and a test set.

    A sixth of each class becomes the test set. A class with two or more pictures has at least one
    picture in the test set.
    """
    labels = np.unique([file.name for file in files], return_inverse=True)[1].astype(np.uint8)
    try:
        held = held_out(labels, _HELD_OUT, seed)
    except ValueError as error:
        raise DataError(f"{root}: there is no test set: {error}; add pictures") from None
    parts = [[f for f, h in zip(files, held, strict=True) if h == test] for test in (False, True)]
    return parts[0], parts[1]


def _shape(files: Sequence[File]) -> Shape:
    """Return the shape of the images.

    If all pictures have the same size of at most 64 x 64, the images keep this size. Otherwise they
    are 28 x 28, or 32 x 32 if any picture has colour.
    """
    channels = 3 if any(_has_colour(file) for file in files) else 1
    sizes = {(file.height, file.width) for file in files}
    height, width = next(iter(sizes))
    if len(sizes) == 1 and max(height, width) <= _LARGEST:
        return channels, height, width
    side = _GREY_SIDE if channels == 1 else _COLOUR_SIDE
    return channels, side, side


def _has_colour(file: File) -> bool:
    """Return true if any pixel has a colour.

    A file that can store colour may still be grey, so its pixels decide.
    """
    try:
        return not file.grey and read_picture(file.path).shape[2] == 3
    except (PictureError, OSError):
        return False


def _suitable(root: Path, files: Sequence[File], names: Sequence[str], shape: Sequence[int]) -> str:
    """Return how to prepare the pictures, decided by a sample of the training set.

    The sample is spread evenly over the files. Its pictures are resized to grey images.
    """
    sample = files[:: -(-len(files) // _SAMPLE)]
    images, _, _ = _load(sample, names, shape, "plain", Report(root))
    return suitable(images[:, np.newaxis])


def _load(
    files: Sequence[File],
    names: Sequence[str],
    shape: Sequence[int],
    pictures: str | None,
    report: Report,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
    """Return the images, their labels and the checksum of the files.

    The function holds only one original picture at a time in memory. It may skip a file with one
    way of preparing the pictures and not with the other. The checksum must not depend on the way,
    so it includes the skipped files. If `pictures` is None, the function reads the files for the
    checksum only, and returns no images.
    """
    labels = {normalize("NFC", name): label for label, name in enumerate(names)}
    images = np.empty((len(files), *(shape[1:] if shape[0] == 1 else shape)), np.uint8)
    kept: list[int] = []
    checksum = 0
    for file in files:
        try:
            content = file.path.read_bytes()
            checksum = zlib.crc32(content, zlib.crc32(os.fsencode(file.name), checksum))
            if pictures is None:
                continue
            image, marks = image_and_marks(read_picture(content), shape, pictures)
        except PictureError as error:
            report.skip(file.path, error)
        except OSError as error:
            report.skip(file.path, error.strerror or "cannot be read")
        else:
            if marks > 1:
                report.crowd(file.path)
            images[len(kept)] = image
            kept.append(labels[file.name])
    return images[: len(kept)], np.array(kept, np.uint8), f"{checksum:08x}"
