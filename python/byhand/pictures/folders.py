"""A folder of class folders as a data set, and a data set as such a folder.

    ROOT/CLASS/any name             a sixth of each class becomes the test set
    ROOT/train/CLASS/..., ROOT/test/CLASS/...

A class is called as its folder is. Classes are in the order of their numbers where all of them are
numbers, else of their names.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from byhand.checkpoint import write_atomic
from byhand.data import DataError, Dataset

from .convert import as_image
from .prepare import plain
from .read import PictureError, read_picture
from .sheet import png

Shape = tuple[int, int, int]

# Pictures of one size up to this stay as they are; others become 28x28, or 32x32 in colour.
_LARGEST = 64
_GREY_SIDE, _COLOUR_SIDE = 28, 32

_HELD_OUT = 6
_PARTS = ("train", "test")


def load_pictures(
    root: str | os.PathLike[str],
    shape: Sequence[int] | None = None,
    seed: int = 0,
    *,
    pictures: str = "plain",
) -> tuple[Dataset, Dataset]:
    """(train, test) from class folders of pictures of any kind; they know their class names.

    shape: (channels, height, width) of the images. Without it pictures of one size up to 64 pixels
    a side keep it, others are resized to 28x28, or 32x32 if there is colour in any of them.
    pictures: "plain", or "digits" to `prepare` each, for 28x28 if no shape is given. seed chooses
    the test set where the folder has none. Images are in the order of their file names.

    Raises DataError with the path where there are no classes, no pictures, or where a file is no
    picture; OSError where one cannot be read.
    """
    root = Path(root)
    names, parts = _listed(root)
    if len(parts) == 1:
        parts = _split(parts[0], seed)
    if pictures == "digits":
        shape = shape or (1, 28, 28)
        pixels = [[_prepared(path, shape) for path, _ in part] for part in parts]
    else:
        pixels = [[_read(path) for path, _ in part] for part in parts]
    if shape is None:
        shape = _common_shape([image.shape for part in pixels for image in part])
    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"{root}: pictures have 1 or 3 channels, not {channels}")
    sets = []
    for part, images in zip(parts, pixels, strict=True):
        size = (height, width) if channels == 1 else (channels, height, width)
        stack = np.empty((len(images), *size), np.uint8)
        for i, image in enumerate(images):
            same = image.shape == (height, width, 1) and channels == 1
            stack[i] = image[..., 0] if same else plain(image, channels, height, width)
        labels = np.array([label for _, label in part], np.uint8)
        sets.append(Dataset(stack, labels, names))
    return sets[0], sets[1]


def write_pictures(root: Path, train: Dataset, test: Dataset) -> None:
    """Each image as root/train/CLASS/00017.png or root/test/...; its number is its name.

    Raises DataError where `root` is there already and not empty, OSError where it cannot be
    written.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root} is there already and not empty")
    for part, data in zip(_PARTS, (train, test), strict=True):
        digits = max(5, len(str(len(data))))
        for label in range(int(data.labels.max(initial=0)) + 1):
            (root / part / _name(data, label)).mkdir(parents=True, exist_ok=True)
        for i, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
            path = root / part / _name(data, int(label)) / f"{i:0{digits}}.png"
            path.write_bytes(png(_as_picture(image)))


def _name(data: Dataset, label: int) -> str:
    return str(label) if data.class_names is None else data.class_names[label]


def _as_picture(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image if image.ndim == 2 else image.transpose(1, 2, 0).copy())


def write_idx(root: Path, train: Dataset, test: Dataset) -> None:
    """The four files of MNIST's form. Raises DataError where images are not (N, H, W) of grey."""
    from byhand.data.folder import IDX_NAMES
    from byhand.data.idx import idx_bytes

    if train.images.ndim != 3:
        raise DataError(f"IDX files of MNIST's form hold grey images, not {train}")
    root.mkdir(parents=True, exist_ok=True)
    arrays = (train.images, train.labels, test.images, test.labels)
    for name, array in zip(IDX_NAMES, arrays, strict=True):
        write_atomic(root / name, idx_bytes(array))


# --------------------------------------------------------------------------------------------------

_Files = list[tuple[Path, int]]


def _listed(root: Path) -> tuple[tuple[str, ...], list[_Files]]:
    """The classes, and the files with their labels: of all, or of the training and test set."""
    below = [folder.name for folder in _folders(root)]
    roots = [root / part for part in _PARTS] if set(below) == set(_PARTS) else [root]
    found = {folder.name for part in roots for folder in _folders(part)}
    if not found:
        raise DataError(f"{root}: no class folders")
    numbers = all(name.isascii() and name.isdigit() for name in found)
    names = sorted(found, key=lambda name: (int(name), name) if numbers else (0, name))
    if numbers and len({int(name) for name in names}) == len(names) and int(names[-1]) < 256:
        # Digits keep their value where some have no pictures.
        held = {int(name): name for name in names}
        names = [held.get(k, str(k)) for k in range(int(names[-1]) + 1)]
    if len(names) > 256:
        raise DataError(f"{root}: {len(names)} classes; at most 256 are possible")
    parts = []
    for part in roots:
        files = [
            (path, label)
            for label, name in enumerate(names)
            for path in sorted((part / name).glob("*"))
            if path.is_file() and not path.name.startswith(".")
        ]
        if not files:
            raise DataError(f"{part}: no pictures in the class folders")
        parts.append(sorted(files, key=lambda file: file[0].name))
    return tuple(names), parts


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _split(files: _Files, seed: int) -> list[_Files]:
    """Of each class one in six, at least one of two or more, to the test set."""
    rng = np.random.default_rng(seed)
    held: set[int] = set()
    labels = np.array([label for _, label in files])
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        count = max(len(own) // _HELD_OUT, int(len(own) > 1))
        held.update(rng.permutation(own)[:count].tolist())
    if not held:
        raise DataError("no class has two pictures, so there is none to test with")
    return [[file for i, file in enumerate(files) if (i in held) == test] for test in (False, True)]


def _prepared(path: Path, shape: Sequence[int]) -> NDArray[np.uint8]:
    """(H, W, 1), prepared as a digit."""
    with _named(path):
        return as_image(read_picture(path), shape, "digits")[..., np.newaxis]


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except PictureError as error:
        raise DataError(f"{path}: {error}") from None


def _read(path: Path) -> NDArray[np.uint8]:
    """Pixels; large pictures made small at once, so that many of them fit into memory."""
    with _named(path):
        pixels = read_picture(path)
    if max(pixels.shape) > 4 * _LARGEST:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        image = image.resize((4 * _LARGEST, 4 * _LARGEST), Image.Resampling.BOX)
        pixels = np.asarray(image).reshape(4 * _LARGEST, 4 * _LARGEST, -1)
    return pixels


def _common_shape(shapes: list[tuple[int, ...]]) -> Shape:
    sizes = {shape[:2] for shape in shapes}
    channels = max(shape[2] for shape in shapes)
    height, width = shapes[0][:2]
    if len(sizes) == 1 and max(height, width) <= _LARGEST:
        return channels, height, width
    side = _GREY_SIDE if channels == 1 else _COLOUR_SIDE
    return channels, side, side
