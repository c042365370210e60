"""The option --plot of a tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from byhand.bench.run import check_folder
from byhand.plots.formats import PLOT_FORMATS

PlotOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE.png", dir_okay=False, help="Also draw a chart into this file."),
]


def check_plot(path: Path | None) -> None:
    """Refuse, before measuring, a file of an unknown format or one that cannot be written."""
    if path is None:
        return
    if path.suffix.lower() not in PLOT_FORMATS:
        formats = ", ".join(PLOT_FORMATS)
        raise typer.BadParameter(f"{path} must end in {formats}.", param_hint="--plot")
    check_folder(path)
