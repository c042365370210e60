"""The options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from byhand.runtime import set_num_threads

_DATA_HELP = (
    "Folder with the four files of MNIST, with your own images in files of the same names, or with "
    "one folder of pictures per class."
)


def _data(default: str, help: str = _DATA_HELP) -> Any:
    return typer.Option("--data", file_okay=False, metavar="DIR", help=help, show_default=default)


DataOption = Annotated[
    Path | None,
    _data(
        "the folder that BYHAND_DATA names, otherwise the cache folder. MNIST is fetched if the "
        "folder holds no data"
    ),
]
FetchedDataOption = Annotated[
    Path | None,
    _data(
        "the folder that BYHAND_DATA names, otherwise the cache folder",
        "Folder for the four files of MNIST.",
    ),
]
RunDataOption = Annotated[
    Path | None, _data("the data of MODEL's run if they are known, otherwise as for byhand train")
]


class Pictures(str, Enum):
    """The ways to prepare pictures."""

    digits = "digits"
    plain = "plain"


def _pictures(default: str) -> Any:
    return typer.Option(
        "--pictures",
        metavar="WAY",
        help="How pictures become images. digits: byhand finds the ink, scales it to fit a box, "
        "and centres it, as in MNIST. plain: byhand only resizes the picture.",
        show_default=default,
    )


PicturesOption = Annotated[
    Pictures | None, _pictures("the way of the training images, which byhand info MODEL shows")
]
FolderPicturesOption = Annotated[Pictures | None, _pictures("plain")]
TrainingPicturesOption = Annotated[
    Pictures | None, _pictures("digits if the training images look like MNIST's")
]


def _set_threads(count: int | None) -> int | None:
    if count is not None:
        set_num_threads(count)
    return count


class DeviceName(str, Enum):
    """The devices."""

    cpu = "cpu"
    cuda = "cuda"


DeviceOption = Annotated[
    DeviceName | None,
    typer.Option(
        metavar="NAME",
        help="Device that trains: cpu, or cuda for an NVIDIA GPU.",
        show_default="cpu, or the device of the run that is resumed",
    ),
]

# The callback sets the number of threads when typer reads the option, so most commands do not use
# the value.
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        metavar="N",
        help="Number of threads.",
        show_default="BYHAND_NUM_THREADS, otherwise one per available processor",
        callback=_set_threads,
    ),
]


def png(option: str, path: Path) -> Path:
    """Return the path of a PNG file to write. Its name must end in .png.

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
