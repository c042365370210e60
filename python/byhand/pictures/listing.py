"""Which files of a folder are pictures of which class, as torchvision and Keras would have it.

    ROOT/CLASS/...                       each folder is a class, with all that lies below it
    ROOT/train/CLASS/..., ROOT/test/...  also training, testing, val, valid, validation

If ROOT holds nothing but one folder of folders, that folder is taken as ROOT.
Hidden files and those that operating systems leave behind are left out. Everything
else that is left out is listed in a `Report` for the user.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from byhand.checkpoint import open_file
from byhand.data import DataError

from .read import FORMATS, PictureError, read_picture

# Names that Windows, macOS and network storage leave in folders. A dot in front hides a name, too.
_SYSTEM = {
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "icon\r",
    "__macosx",
    "$recycle.bin",
    "system volume information",
    "@eadir",
    "lost+found",
}
_PART = re.compile(
    r"(?:(?P<train>train)(?:ing)?|(?P<test>test)(?:ing)?|(?P<val>val)(?:id|idation)?)"
    r"[ _-]?(?:set|data)?",
    re.IGNORECASE,
)

# The number of names that a report shows.
_SHOWN = 5


class File(NamedTuple):
    """A picture: its path, the name of its class, its size, and whether its form is grey."""

    path: Path
    name: str
    height: int
    width: int
    grey: bool


@dataclass
class Report:
    """The files that were left out of a data set, and the decisions that its user should know."""

    root: Path
    skipped: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)  # class folders without pictures

    def skip(self, path: Path, reason: object) -> None:
        short = re.split(r"[;:]", str(reason))[0]
        self.skipped.append(f"{self._name(path)} ({short})")

    def hide(self, path: Path) -> None:
        self.hidden.append(self._name(path))

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path != self.root else str(path)

    def text(self) -> str:
        """One line, or nothing if all files are in the data set."""
        lines = [*self.notes]
        for what, names in (
            ("skipped", self.skipped),
            ("hidden or system files left out", self.hidden),
        ):
            if names:
                more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
                lines.append(f"{len(names):,} {what}: {', '.join(names[:_SHOWN])}{more}")
        return "; ".join(lines)


def list_pictures(report: Report) -> tuple[list[File], list[File] | None]:
    """The pictures of the training and of the test set; None if the folder has no test set.

    Raises DataError if there are no class folders or no pictures in them.
    """
    root = _unwrapped(report.root)
    parts: dict[str, list[Path]] = {"train": [], "test": [], "val": []}
    others = []
    for folder in _folders(root):
        match = _PART.fullmatch(folder.name)
        # A class of toys may be called train, but it has no class folders.
        if match is None or (match["train"] and not any(_folders(folder))):
            others.append(folder)
        else:
            parts[match.lastgroup or ""].append(folder)
    if not parts["train"]:
        for folder in parts["test"] + parts["val"]:
            if any(_folders(folder)) and not _has_pictures(folder):
                raise DataError(f"{root} has the folder {folder.name} but no train folder")
        match = _PART.fullmatch(root.name)
        if root != report.root and not (match and match["train"]):
            name = root.relative_to(report.root)
            report.notes.append(f"{name} is the only folder, so the classes are the folders in it")
        return _labelled([root], report), None
    for path in others:
        report.skip(path, "beside the train folder")
    train, test, validation = (parts[name] for name in ("train", "test", "val"))
    held_out = _labelled(test, report)
    if validation and held_out:
        report.notes.append(f"the pictures of {validation[0].name} join the training set")
        train = train + validation
    elif validation:
        report.notes.append(f"{validation[0].name} is the test set")
        held_out = _labelled(validation, report)
    return _labelled(train, report), held_out or None


def _unwrapped(root: Path) -> Path:
    """The folder that is not just a wrapper around a single folder of folders."""
    while (inner := _only_folder(root)) is not None and any(_folders(inner)):
        root = inner
    return root


def _only_folder(root: Path) -> Path | None:
    below = list(_folders(root))
    return below[0] if len(below) == 1 and not _has_pictures(root) else None


def _has_pictures(folder: Path) -> bool:
    return any(_head(path) is not None for path in _visible(folder) if path.is_file())


def _labelled(roots: list[Path], report: Report) -> list[File]:
    """The pictures in the class folders of `roots`, in the order of their file names."""
    files = []
    for root in roots:
        inner = _only_folder(root)  # some archives hold train/train/CLASS
        if inner is not None and inner.name == root.name:
            root = inner
        for path in _visible(root, report):
            if not path.is_dir():
                report.skip(path, "not in a class folder")
                continue
            found = [_file(file, path.name, report) for file in _walk(path, report)]
            pictures = [file for file in found if file is not None]
            if not pictures:
                report.empty.append(path)
            files += pictures
    return sorted(files, key=lambda file: (file.path.name, file.path))


def _file(path: Path, name: str, report: Report) -> File | None:
    try:
        head = _head(path)
        if head is None:
            read_picture(path)  # its error says what is wrong
            return None
    except PictureError as error:
        report.skip(path, error)
    except OSError as error:
        report.skip(path, error.strerror or "cannot be read")
    else:
        return File(path, name, *head)
    return None


def _head(path: Path) -> tuple[int, int, bool] | None:
    """Height, width and whether the form is grey, without a pixel; None if it is no picture."""
    try:
        with open_file(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=FORMATS)
            grey = image.mode[0] in "1LIF" and image.mode != "LAB"
            return image.height, image.width, grey
    except OSError as error:
        if error.errno is not None:
            raise
    except Exception:  # decoders raise anything on damaged bytes
        pass
    return None


# --------------------------------------------------------------------------------------------------
# Folders


def _walk(root: Path, report: Report) -> Iterator[Path]:
    """All visible files below `root`, links followed, no folder twice."""
    seen = set()

    def failed(error: OSError) -> None:
        report.skip(Path(error.filename), error.strerror or "cannot be read")

    for folder, below, names in os.walk(root, followlinks=True, onerror=failed):
        identity = os.stat(folder)
        if (identity.st_dev, identity.st_ino) in seen:
            below.clear()
            continue
        seen.add((identity.st_dev, identity.st_ino))
        for name in (*below, *names):
            if is_hidden(name):
                report.hide(Path(folder, name))
        below[:] = sorted(name for name in below if not is_hidden(name))
        yield from (Path(folder, name) for name in sorted(names) if not is_hidden(name))


def _visible(folder: Path, report: Report | None = None) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if not is_hidden(path.name):
            yield path
        elif report is not None:
            report.hide(path)


def _folders(folder: Path) -> Iterator[Path]:
    return (path for path in _visible(folder) if path.is_dir())


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM
