"""The options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from byhand.runtime import set_num_threads

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        file_okay=False,
        metavar="DIR",
        help="Folder with the four files of MNIST, with your own images in files of the same "
        "names, or with one folder of pictures per class.",
        show_default="BYHAND_DATA, or else the cache; MNIST is fetched if nothing is there",
    ),
]


class Pictures(str, Enum):
    """The ways to prepare pictures."""

    digits = "digits"
    plain = "plain"


def _pictures(default: str) -> Any:
    return typer.Option(
        "--pictures",
        metavar="WAY",
        help="How pictures become images. digits: the ink is found, fitted and centred as in "
        "MNIST. plain: the picture is resized, nothing else.",
        show_default=default,
    )


PicturesOption = Annotated[Pictures | None, _pictures("the model's own way: byhand info MODEL")]
FolderPicturesOption = Annotated[Pictures | None, _pictures("plain")]
TrainingPicturesOption = Annotated[
    Pictures | None, _pictures("digits if the training images look like MNIST's")
]


def _set_threads(count: int | None) -> None:
    if count is not None:
        set_num_threads(count)


# The number of threads is set when the option is read, so commands do not get it as an argument.
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        metavar="N",
        help="Number of threads.",
        show_default="one per processor",
        callback=_set_threads,
        expose_value=False,
    ),
]


def png(option: str, path: Path) -> Path:
    """Return the path of a PNG file to write, after a check of its name.

    Parameters
    ----------
    option : str
        The name of the option, for the message.
    path : Path
        The path.

    Raises
    ------
    typer.BadParameter
        If the name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{path} must end in .png", param_hint=option)
    return path
