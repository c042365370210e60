"""`byhand data`, and how every command comes by its data."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import byhand.data
from byhand.checkpoint import write_atomic
from byhand.cli.display import fetch_display
from byhand.cli.options import DataOption, png
from byhand.cli.output import say, warn
from byhand.data import DataError, Dataset
from byhand.data.folder import cache_folder, find_files, is_complete, named_folders
from byhand.model import Model

app = typer.Typer(no_args_is_help=True, help="Fetch MNIST, look at it, and convert it.")

_SHOWN = 10
# It may take seconds until the first byte arrives.
_ASKING = "MNIST is not here yet: asking for it on the web"


def load(root: Path | None, shape: Sequence[int] | None = None) -> tuple[Dataset, Dataset]:
    """byhand.data.mnist, with what it fetches shown on stderr, or the pictures of class folders,
    made to images of `shape` (channels, height, width); errors of `locate`.
    """
    folder = locate(root)
    if folder is not None and root is not None and not is_complete(find_files(folder)):
        from byhand.pictures.folders import load_pictures

        return load_pictures(folder, shape)
    if folder is None:
        warn(_ASKING)
    with fetch_display() as progress:
        return byhand.data.mnist(root, progress=progress)


def load_for(model: Model, root: Path | None) -> tuple[Dataset, Dataset]:
    """`load`; DataError where the model cannot take the images or the labels."""
    sets = load(root, model.input_shape)
    check(model, sets, root)
    return sets


def check(model: Model, sets: tuple[Dataset, Dataset], root: Path | None) -> None:
    """DataError where the model cannot take the images or the labels."""
    for name, data in zip(("training", "test"), sets, strict=True):
        where = f"{locate(root)}, {name} set"
        try:
            model.check_images(data.images)
        except ValueError as error:
            raise DataError(f"{where}: {error}") from None
        if len(data) == 0:
            raise DataError(f"{where}: no images")
        if model.classes > 1 and data.labels.max() >= model.classes:
            raise DataError(
                f"{where}: labels must be from 0 to {model.classes - 1}, not {data.labels.max()}"
            )
        if data.class_names is not None and data.class_names != model.class_names:
            raise DataError(
                f"{where}: the classes are {', '.join(data.class_names)}, "
                f"the model's {', '.join(model.class_names)}"
            )


def locate(root: Path | None) -> Path | None:
    """The folder that `load` reads, or None where it would fetch.

    A `root` on the command line is never passed over: DataError where it holds no data set.
    """
    if root is not None:
        folder = named_folders(root)[0]
        if not is_complete(find_files(folder)) and not _holds_class_folders(folder):
            command = shlex.join(["byhand", "data", "fetch", "--data", str(root)])
            state = "holds no whole data set" if folder.exists() else "does not exist"
            raise DataError(f"--data: {folder} {state}; to fetch MNIST into it: {command}")
        return folder
    for folder in (*named_folders(None), cache_folder()):
        if is_complete(find_files(folder)):
            return folder
    return None


def _holds_class_folders(folder: Path) -> bool:
    """Two folders or more: each is a class, or they are train and test."""
    below = [p for p in folder.glob("*") if p.is_dir() and not p.name.startswith(".")]
    return len(below) >= 2


@app.command()
def fetch(data: DataOption = None) -> None:
    """Fetch the missing files of MNIST and check those that are there."""
    target = next(iter(named_folders(data)), cache_folder())
    if not is_complete(find_files(target)):
        warn(_ASKING)
    with fetch_display() as progress:
        folder = byhand.data.fetch(data, progress)
    say(f"MNIST is in {folder}, every file as published (SHA-256)")


@app.command()
def show(
    data: DataOption = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="PNG file to write. It is replaced if it exists.")
    ] = Path("byhand-digits.png"),
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Decides which images.", show_default="different ones each time"),
    ] = None,
) -> None:
    """Draw 10 random training images with their labels."""
    from byhand.cli.figures import digits_png

    png("--out", out)
    train, _ = load(data)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(train), min(_SHOWN, len(train)), replace=False))
    write_atomic(out, digits_png(train, chosen))
    say(f"{len(chosen)} of {len(train):,} training images: {out.resolve()}")
