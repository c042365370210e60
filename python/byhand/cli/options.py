"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        file_okay=False,
        metavar="DIR",
        help="Folder with MNIST, or your own images under its file names. MNIST is fetched where "
        "there is nothing.",
        show_default="BYHAND_DATA, else the cache",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=256, metavar="N", help="Threads to compute with.", show_default="all processors"
    ),
]
