"""The commands `byhand data to-png`, `from-png`, `describe` and `draw-examples`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from byhand.cli.data import load, warnings_said
from byhand.cli.options import DataOption, FolderPicturesOption
from byhand.cli.output import announce, say
from byhand.data import load_class_folders
from byhand.data.idx import describe_idx
from byhand.files.atomic import write_atomic

FolderArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR", file_okay=False, help="The folder in which the pictures are."),
]
NewFolderArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR", file_okay=False, help="The folder to write the pictures to."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `byhand data`.

    Parameters
    ----------
    app : typer.Typer
        The group of commands.
    """
    app.command("to-png")(to_png)
    app.command("from-png")(from_png)
    app.command("describe")(describe)
    app.command("draw-examples")(draw_examples)


def to_png(folder: NewFolderArgument, data: DataOption = None) -> None:
    """Write every image as a file DIR/train/CLASS/NUMBER.png or DIR/test/CLASS/NUMBER.png.

    `byhand data from-png` converts such a folder back.
    """
    announce(f"writing pictures into {folder}")
    from byhand.pictures.folders import write_pictures

    train, test = load(data)
    write_pictures(folder, train, test)
    say(f"{len(train):,} training and {len(test):,} test images are in {folder}")


def from_png(
    folder: FolderArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", file_okay=False, help="Folder for the IDX files.")
    ],
    pictures: FolderPicturesOption = None,
) -> None:
    """Turn folders of pictures, one per class, into the four IDX files.

    DIR holds one folder per class, or the folders train and test, each with one folder per class.
    Grey pictures keep every pixel if all have the same size, at most 64x64. Otherwise they are
    resized to 28x28. Pictures with colours are refused. With --pictures digits, each picture is
    prepared as a digit of 28x28.
    """
    announce(f"reading the pictures in {folder}")
    from byhand.pictures.folders import write_idx

    with warnings_said():
        train, test = load_class_folders(folder, pictures=pictures or "plain")
    write_idx(out, train, test)
    say(f"{len(train):,} training and {len(test):,} test images are in {out}")
    for label, name in enumerate(train.class_names or ()):
        if name != str(label):
            say(f"label {label:3}  {name}")


def describe(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", dir_okay=False, help="An IDX file, plain or gzipped."),
    ],
) -> None:
    """Explain the header of an IDX file, byte by byte."""
    rows = [("bytes", "hexadecimal", "meaning"), *describe_idx(file)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for where, values, meaning in rows:
        say(f"{where:>{widths[0]}}  {values:{widths[1]}}  {meaning}")


def draw_examples(
    folder: NewFolderArgument,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the random shapes, sizes and positions.")
    ] = 0,
) -> None:
    """Draw ten digits with an unsteady hand, as example pictures for `byhand predict`.

    The files are DIR/0.png to DIR/9.png.
    """
    announce("drawing ten digits")
    from byhand.pictures.drawings import drawing_png

    folder.mkdir(parents=True, exist_ok=True)
    for digit in range(10):
        write_atomic(folder / f"{digit}.png", drawing_png(digit, seed))
    say(f"ten drawings are in {folder}")
