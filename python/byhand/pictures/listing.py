"""Find the pictures of each class in a folder, in the layout of torchvision and Keras.

    ROOT/CLASS/...        Each folder is a class, with all the pictures in it and below it.
    ROOT/train/CLASS/...  The training set and the test set have a folder each.
    ROOT/test/CLASS/...

The folders of the sets may also be called training, testing, val, valid or validation, and their
names may have more words, as in seg_train and seg_test.

If ROOT holds only one folder, and this folder holds folders, it is taken as ROOT instead. If ROOT
holds several folders, and exactly one of them holds a folder train and a folder test or val, this
one is taken as ROOT. Hidden files and files that operating systems create are left out. A `Report`
tells the user what was left out.
"""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from byhand.data import DataError
from byhand.files.atomic import open_file

from .read import FORMATS, PictureError, read_picture

# Files and folders that Windows, macOS and network storage create. Names that begin with a dot are
# hidden, too.
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
# The name of a folder that holds a part of the data, such as seg_train, test_images or x-valid. The
# groups `before` and `after` match the other words, which are usually the name of the data set.
_PART = re.compile(
    r"(?P<before>.*?[ ._-])?"
    r"(?:(?P<train>train)(?:ing)?|(?P<test>test)(?:ing)?|(?P<val>val)(?:id|idation)?)"
    r"[ _-]?(?:set|data)?"
    r"(?P<after>[ ._-].*)?",
    re.IGNORECASE,
)

# The largest number of names in one line of a report.
_SHOWN = 5


class File(NamedTuple):
    """A picture file.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        The name of its class in Unicode's normal form NFC. File systems may store the letter "é" as
        one character or as two, and NFC makes both equal.
    height, width : int
        The size in pixels.
    grey : bool
        Whether the file stores no colour.
    """

    path: Path
    name: str
    height: int
    width: int
    grey: bool


@dataclass
class Report:
    """The files that were left out of a data set, and notes for its user.

    Parameters
    ----------
    root : Path
        The folder of the data set. All names are relative to it.
    skipped : list of str
        Files that cannot be used, with the reason.
    hidden : list of str
        Hidden files, and files that operating systems create.
    crowded : list of str
        Pictures with several marks. Their images show only the largest mark.
    notes : list of str
        Other facts that the user should know.
    empty : list of Path
        Class folders without pictures.
    """

    root: Path
    skipped: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    crowded: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)

    def skip(self, path: Path, reason: object) -> None:
        """Add a file that cannot be used.

        Parameters
        ----------
        path : Path
            The file.
        reason : object
            The reason, as text or as an exception. The report shows only the text before the first
            ``;`` or ``:``.
        """
        short = re.split(r"[;:]", str(reason))[0]
        self.skipped.append(f"{self._name(path)} ({short})")

    def hide(self, path: Path) -> None:
        """Add a hidden file, or a file that an operating system has created.

        Parameters
        ----------
        path : Path
            The file.
        """
        self.hidden.append(self._name(path))

    def crowd(self, path: Path) -> None:
        """Add a picture with several marks.

        Parameters
        ----------
        path : Path
            The picture.
        """
        self.crowded.append(self._name(path))

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path != self.root else str(path)

    def text(self) -> str:
        """Return the report as one line. It is empty if there is nothing to report."""
        lines = [*self.notes]
        for what, names in (
            ("skipped", self.skipped),
            ("hidden or system files left out", self.hidden),
            ("pictures with several marks, of which the largest is used", self.crowded),
        ):
            if names:
                lines.append(f"{len(names):,} {what}: {shown(names)}")
        return "; ".join(lines)


def list_pictures(report: Report) -> tuple[list[File], list[File] | None]:
    """Find the pictures of the training set and of the test set.

    Parameters
    ----------
    report : Report
        `report.root` is the folder to search. The function adds to the report the files that it
        leaves out.

    Returns
    -------
    train : list of File
        The pictures of the training set, in the order of their file names. The list is empty if
        there are no pictures.
    test : list of File or None
        The pictures of the test set, in the order of their file names. It is None if the folder has
        no test set.

    Raises
    ------
    DataError
        If the folder has a test set or a validation set of pictures, but no training set.
    """
    root = _unwrapped(report.root)
    parts = _parts(root)
    if not parts["train"]:
        for folder in parts["test"] + parts["val"]:
            if any(_folders(folder)) and not _has_pictures(folder):
                raise DataError(f"{root} has the folder {folder.name} but no train folder")
        wrapped = [folder for folder in _folders(root) if _is_split(_parts(_unwrapped(folder)))]
        if len(wrapped) != 1:
            return _classes_of(root, report), None
        for folder in _folders(root):
            if folder not in wrapped:
                report.skip(folder, f"beside {wrapped[0].name}, which holds the train folder")
        root = _unwrapped(wrapped[0])
        parts = _parts(root)
    for folder in _folders(root):
        if not any(folder in part for part in parts.values()):
            report.skip(folder, "beside the train folder")
    train, test, validation = (parts[name] for name in ("train", "test", "val"))
    held_out = _labelled(test, report)
    if validation and held_out:
        report.notes.append(f"the pictures of {validation[0].name} join the training set")
        train = train + validation
    elif validation:
        report.notes.append(f"{validation[0].name} is the test set")
        held_out = _labelled(validation, report)
    return _labelled(train, report), held_out or None


def _parts(root: Path) -> dict[str, list[Path]]:
    """Return the folders in `root` of the training, the test and the validation set.

    Usually these folders have plain names: train, test, val or a form of them, such as training. If
    no training folder has a plain name, the function looks for names with further words, such as
    seg_train and seg_test. Names with the same further words form a group. The function takes such
    a group if it is the only one that has a training set and also a test or validation set. Each of
    the three lists may be empty.
    """
    sets: dict[str, dict[str, list[Path]]] = {}
    for folder in _folders(root):
        match = _PART.fullmatch(folder.name)
        # A class of pictures may also be called train, but it has no folders in it.
        if match is None or (match["train"] and not any(_folders(folder))):
            continue
        around = re.sub("[ .-]", "_", f"{match['before'] or ''}{match['after'] or ''}".lower())
        parts = sets.setdefault(around, {"train": [], "test": [], "val": []})
        next(parts[part] for part in parts if match[part]).append(folder)
    usual = sets.pop("", {"train": [], "test": [], "val": []})
    others = [parts for parts in sets.values() if _is_split(parts)]
    return others[0] if len(others) == 1 and not usual["train"] else usual


def _is_split(parts: dict[str, list[Path]]) -> bool:
    return bool(parts["train"] and parts["test"] + parts["val"])


def _classes_of(root: Path, report: Report) -> list[File]:
    """Return the pictures of a folder of classes.

    Add a note to the report if `root` is not the folder that the user named, unless `root` is
    called train.
    """
    match = _PART.fullmatch(root.name)
    if root != report.root and not (match and match["train"]):
        name = root.relative_to(report.root)
        report.notes.append(f"{name} is the only folder, so the classes are the folders in it")
    return _labelled([root], report)


def _note_shared_folders(classes: list[Path], report: Report) -> None:
    """Add a note to the report if several class folders hold folders of the same names.

    The user may have meant these inner folders as the classes.
    """
    below = {path.name: [folder.name for folder in _folders(path)] for path in classes}
    wrappers = [path.name for path in classes if below[path.name] and not _has_pictures(path)]
    counts = Counter(name for wrapper in wrappers for name in below[wrapper])
    shared = sorted(name for name, count in counts.items() if count > 1)
    note = (
        f"{shown(wrappers)} are taken for classes, but they hold folders of the same names, "
        f"{shown(shared)}. The layout should be ROOT/CLASS/..., or ROOT/train/CLASS/... and "
        "ROOT/test/CLASS/..."
    )
    if len(shared) > 1 and note not in report.notes:
        report.notes.append(note)


def shown(names: Sequence[str]) -> str:
    """Join the first five names, and append how many more there are.

    Parameters
    ----------
    names : sequence of str
        The names.

    Returns
    -------
    str
        For example "a, b, c, d, e and 7 more".
    """
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _unwrapped(root: Path) -> Path:
    """Return the folder that holds the data, which may be wrapped in other folders.

    As long as a folder holds no pictures and only one folder, and that inner folder holds folders,
    the function descends into the inner folder.
    """
    while (inner := _only_folder(root)) is not None and any(_folders(inner)):
        root = inner
    return root


def _only_folder(root: Path) -> Path | None:
    below = list(_folders(root))
    return below[0] if len(below) == 1 and not _has_pictures(root) else None


def _has_pictures(folder: Path) -> bool:
    return any(_head(path) is not None for path in _visible(folder) if path.is_file())


def _labelled(roots: list[Path], report: Report) -> list[File]:
    """Return the pictures in the class folders of `roots`, in the order of their file names."""
    files, classes = [], []
    for root in roots:
        inner = _only_folder(root)  # some archives hold train/train/CLASS
        if inner is not None and inner.name == root.name:
            root = inner
        for path in _visible(root, report):
            if not path.is_dir():
                report.skip(path, "not in a class folder")
                continue
            classes.append(path)
            name = unicodedata.normalize("NFC", path.name)
            found = [_file(file, name, report) for file in _walk(path, report)]
            pictures = [file for file in found if file is not None]
            if not pictures:
                report.empty.append(path)
            files += pictures
    _note_shared_folders(classes, report)
    return sorted(files, key=lambda file: (file.path.name, file.path))


def _file(path: Path, name: str, report: Report) -> File | None:
    try:
        head = _head(path)
        if head is None:
            read_picture(path)  # raises an error that says what is wrong
            return None
    except PictureError as error:
        report.skip(path, error)
    except OSError as error:
        report.skip(path, error.strerror or "cannot be read")
    else:
        return File(path, name, *head)
    return None


def _head(path: Path) -> tuple[int, int, bool] | None:
    """Return the height and the width of a picture file, and whether it stores no colour.

    The function reads the header only. It returns None if the file is no picture.
    """
    try:
        with open_file(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=FORMATS)
            grey = image.mode[0] in "1LIF" and image.mode != "LAB"
            return image.height, image.width, grey
    except OSError as error:
        if error.errno is not None:  # an error of the system; errors of Pillow have no number
            raise
    except Exception:  # a decoder may raise any exception if the file is damaged
        pass
    return None


# --------------------------------------------------------------------------------------------------
# Folders


def _walk(root: Path, report: Report) -> Iterator[Path]:
    """Yield all visible files below `root`. Links are followed, but no folder is visited twice."""
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
    try:
        with os.scandir(folder) as entries:  # faster than one call of `is_dir` per path
            names = [entry.name for entry in entries if entry.is_dir()]
    except PermissionError:
        names = []
    return (folder / name for name in sorted(names) if not is_hidden(name))


def is_hidden(name: str) -> bool:
    """Return true if a file or folder is hidden, or if an operating system has created it.

    Parameters
    ----------
    name : str
        The name without the folders above it.

    Returns
    -------
    bool
        Whether the file or folder is left out of a data set.
    """
    return name.startswith(".") or name.lower() in _SYSTEM
