"""The command `byhand plot`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from byhand.cli import completion
from byhand.cli.output import announce, describe, say, warn
from byhand.cli.stored_model import advised
from byhand.files.atomic import write_atomic
from byhand.plots.formats import PLOT_FORMATS
from byhand.training import EpochEnd
from byhand.training.run_folder import RunFolder


def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders.", autocompletion=completion.runs),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="PNG, PDF or SVG file to write. It is replaced if it exists."
        ),
    ] = Path("byhand-curves.png"),
) -> None:
    """Draw the loss and error curves of runs into one picture."""
    if out.suffix.lower() not in PLOT_FORMATS:
        formats = ", ".join(PLOT_FORMATS)
        raise typer.BadParameter(f"{out} must end in {formats}.", param_hint="--out")
    histories = _histories(runs)
    announce("drawing the curves")
    from byhand.plots.curves import curves_bytes

    write_atomic(out, curves_bytes(histories, suffix=out.suffix.lower()))
    say(f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}: {out.resolve()}")


def draw_curves(path: Path, runs: Mapping[str, Sequence[EpochEnd]], title: str) -> bool:
    """Draw the curves of runs into a file. If that fails, only print a warning.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    runs : mapping of sequence of EpochEnd
        The name of each run, and its epochs.
    title : str
        The title above the curves.

    Returns
    -------
    bool
        Whether the file was written.
    """
    try:
        from byhand.plots.curves import curves_bytes

        write_atomic(path, curves_bytes(runs, title))
    except Exception as error:
        warn(f"the curves were not drawn: {describe(error)}")
        return False
    return True


def _histories(runs: list[Path]) -> dict[str, list[EpochEnd]]:
    """Return the history of each run. The key of a run is the end of its path.

    All keys have the same number of path components: the smallest number with which no two keys are
    equal.
    """
    paths = [Path(os.path.abspath(run)) for run in runs]
    if len(set(paths)) < len(paths):
        raise typer.BadParameter("the same run is named twice", param_hint="RUN")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    histories = {}
    for run, path in zip(runs, paths, strict=True):
        with advised(run, "put a copy of the file back, or leave this run out", only_runs=True):
            histories[str(Path(*path.parts[-depth:]))] = RunFolder(run).history()
    return histories
