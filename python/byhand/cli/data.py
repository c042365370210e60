"""The commands `byhand data fetch` and `show`, and the functions that load a command's data."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import byhand.data
from byhand.cli.display import fetch_display
from byhand.cli.options import DataOption, FetchedDataOption, FolderPicturesOption, Pictures, png
from byhand.cli.output import announce, say, warn
from byhand.data import DataError, Dataset, DataWarning
from byhand.data.folder import (
    data_folder,
    fetches_unasked,
    find_files,
    folder_inside,
    has_folders,
    is_complete,
    what_is_missing,
)
from byhand.files.atomic import write_atomic
from byhand.models import Model

app = typer.Typer(no_args_is_help=True, help="Fetch MNIST, and show and convert data sets.")

# The number of images that `byhand data show` draws.
_SHOWN = 10
# This message is printed before MNIST is fetched, because it may take seconds until the first byte
# arrives.
_FETCHING = "MNIST is not here yet and is fetched from the web"


def load(
    root: Path | None,
    shape: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    pictures: Pictures | None = Pictures.plain,
    folder_names: Sequence[str] | None = None,
    *,
    only_test: bool = False,
) -> tuple[Dataset, Dataset]:
    """Load a data set. If MNIST must be fetched first, show the progress.

    Parameters
    ----------
    root : Path or None
        The folder of --data. None is the folder that BYHAND_DATA names, otherwise the cache folder.
        MNIST is fetched into it if it is empty or does not exist.
    shape : sequence of int, optional
        The shape (channels, height, width) that the pictures of class folders become.
    class_names : sequence of str, optional
        The names of the labels. They must not be given if the data set consists of class folders,
        because the names of these folders are the names of the classes.
    pictures : Pictures or None
        How the pictures of class folders are prepared. If it is None, a sample of the pictures
        decides: see `byhand.data.load_class_folders`.
    folder_names : sequence of str, optional
        The names that class folders may have, in the order of their labels. By default they may
        have any names.
    only_test : bool
        Leave the training set of class folders empty, which saves time.

    Returns
    -------
    tuple of Dataset
        The training set and the test set.

    Raises
    ------
    DataError
        If a folder was named and holds no data set.
    typer.BadParameter
        If `class_names` are given for class folders.
    """
    folder = locate(root)
    with warnings_said():
        if folder is None:
            warn(_FETCHING)
            with fetch_display() as progress:
                byhand.data.fetch(None, progress)
            folder = data_folder()
        if is_complete(find_files(folder)):
            if root is None and class_names is None:
                return byhand.data.mnist()
            return byhand.data.load_folder(folder, class_names=class_names)
        if class_names is not None:
            raise typer.BadParameter(
                f"{folder} holds class folders, whose names are the names of the classes: rename "
                "the folders instead",
                param_hint="--class-names",
            )
        announce(f"reading the pictures in {folder}")
        from byhand.pictures.folders import load_pictures

        way = pictures and pictures.value
        return load_pictures(folder, shape, 0, way, folder_names, only_test=only_test)


@contextlib.contextmanager
def warnings_said() -> Iterator[None]:
    """Print the warnings of byhand.data as lines on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        show = warnings.showwarning

        def say_it(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if issubclass(category, DataWarning):
                warn(str(message))
            else:
                show(message, category, *place)

        # setattr, because mypy refuses an assignment: the declared type of showwarning names each
        # of the arguments that `*place` collects.
        setattr(warnings, "showwarning", say_it)  # noqa: B010
        yield


def load_for(
    model: Model, root: Path | None, pictures: Pictures | None = None, *, only_test: bool = False
) -> tuple[Dataset, Dataset]:
    """Return the training set and the test set for a model.

    Pictures of class folders are prepared as `predict` prepares pictures for this model.

    Parameters
    ----------
    model : Model
        The model.
    root : Path or None
        The folder of --data.
    pictures : Pictures, optional
        The option --pictures.
    only_test : bool
        Leave the training set of class folders empty, which saves time.

    Raises
    ------
    DataError
        If a folder was named and holds no data set, or if the model cannot take the images or the
        labels.
    """
    way = preparation(model, pictures)
    shape, names = model.input_shape, model.class_names
    sets = load(root, shape, pictures=way, folder_names=names, only_test=only_test)
    check(model, sets, root, only_test=only_test)
    return sets


def preparation(model: Model, wanted: Pictures | None) -> Pictures:
    """Return how pictures are prepared for a model.

    Parameters
    ----------
    model : Model
        The model.
    wanted : Pictures or None
        The option --pictures. If it is None, pictures are prepared as the model's training images
        were.

    Raises
    ------
    typer.BadParameter
        If the model cannot take pictures that are prepared in the wanted way.
    """
    try:
        return Pictures(model.preparation(wanted and wanted.value))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--pictures") from None


def said_preparation(model: Model, way: Pictures) -> str:
    """Return a text that says how pictures were prepared, and how to choose the other way.

    The text names the other way only if the model can take pictures that are prepared in that way.

    Parameters
    ----------
    model : Model
        The model.
    way : Pictures
        How the pictures were prepared.
    """
    if way is Pictures.digits:
        return "pictures prepared as digits; --pictures plain takes them as they are, resized"
    other = (
        "; --pictures digits finds, fits and centres the ink" if model.input_shape[0] == 1 else ""
    )
    return f"pictures taken as they are, resized{other}"


def check(
    model: Model, sets: tuple[Dataset, Dataset], root: Path | None, *, only_test: bool = False
) -> None:
    """Check that a model can take the images and the labels of a data set.

    Parameters
    ----------
    model : Model
        The model.
    sets : pair of Dataset
        The training set and the test set.
    root : Path or None
        The folder of --data, for the message.
    only_test : bool
        Whether the training set may be empty.

    Raises
    ------
    DataError
        If the model cannot take the images or the labels.
    """
    for name, data in zip(("training", "test"), sets, strict=True):
        where = f"{locate(root)}, {name} set"
        try:
            model.check_images(data.images)
        except ValueError as error:
            raise DataError(f"{where}: {error}") from None
        if len(data) == 0 and not (only_test and name == "training"):
            raise DataError(f"{where}: no images")
        if model.classes > 1 and data.labels.max(initial=0) >= model.classes:
            raise DataError(
                f"{where}: labels must be from 0 to {model.classes - 1}, not {data.labels.max()}"
            )
        names = data.class_names
        if names is None and data.source is not None and data.source.name == "MNIST":
            names = tuple("0123456789")
        if names is not None and model.classes > 1 and names != model.class_names[: len(names)]:
            raise DataError(
                f"{where}: the classes are {', '.join(names)}, "
                f"but those of the model are {', '.join(model.class_names)}"
            )


def locate(root: Path | None) -> Path | None:
    """Return the folder that `load` reads, or None if `load` would fetch MNIST.

    Parameters
    ----------
    root : Path or None
        The folder of --data.

    Raises
    ------
    DataError
        If a folder was named and holds no data set.
    """
    folder = data_folder(root)
    files = find_files(folder)
    if is_complete(files) or (not files and has_folders(folder) and not folder_inside(folder)):
        return folder
    if fetches_unasked(root):
        return None
    raise DataError(f"{'BYHAND_DATA' if root is None else '--data'}: {what_is_missing(folder)}")


def holds_pictures(folder: Path) -> bool:
    """Return true if the data set in a folder consists of class folders.

    Parameters
    ----------
    folder : Path
        A folder that holds a data set.
    """
    return not is_complete(find_files(folder))


@app.command()
def fetch(data: FetchedDataOption = None) -> None:
    """Fetch the missing files of MNIST, and check the files that are there already."""
    if not is_complete(find_files(data_folder(data))):
        warn(_FETCHING)
    else:
        announce("checking the files of MNIST")
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
        typer.Option(
            min=0,
            help="Seed that chooses the images.",
            show_default="new images each time",
        ),
    ] = None,
    pictures: FolderPicturesOption = None,
) -> None:
    """Draw 10 random training images with their labels."""
    png("--out", out)
    announce("drawing training images")
    from byhand.cli.sheets import digits_png

    train, _ = load(data, pictures=pictures or Pictures.plain)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(train), min(_SHOWN, len(train)), replace=False))
    write_atomic(out, digits_png(train, chosen))
    say(f"{len(chosen)} of {len(train):,} training images: {out.resolve()}")
