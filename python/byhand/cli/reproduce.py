"""The command `byhand reproduce`."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import byhand
from byhand.checks import not_one_of
from byhand.cli.completion import beginnings
from byhand.cli.data import load
from byhand.cli.options import DataOption, ThreadsOption
from byhand.cli.output import announce, say, warn
from byhand.cli.plot import draw_curves
from byhand.files.atomic import write_atomic
from byhand.runtime import config, get_num_threads

if TYPE_CHECKING:
    from byhand.reproduce import Check, Row


def reproduce(
    tutorials: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            help="A, B, C, D, E or BEST.",
            show_default="all of them",
            autocompletion=beginnings(["A", "B", "C", "D", "E", "BEST"]),
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for table.md, results.json and the curves.")
    ] = Path("reproduce"),
    seeds: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Number of seeds. Each network is trained once per seed."
        ),
    ] = 3,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Train for at most N epochs, for a quick try.",
            show_default="all",
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Train tutorial A for all of its 100 passes instead of 20. Three seeds take about "
            "10 minutes more on two cores.",
        ),
    ] = False,
    data: DataOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Train the networks of five published tutorials on MNIST, and compare the results with theirs.

    A is the PaddlePaddle book and B its Fluid notebook. C is the Paddle 2 course, whose networks
    learn the digit as a number. D is a personal blog about TensorFlow, which converts images to
    pictures and back. E is an article that searches for the best settings of a network. BEST is no
    tutorial, but `byhand train --recipe best`.

    The exit code is 1 if a published result is not reached or a check fails. A published accuracy p
    is reached if ours is at least p - sqrt(p (1 - p) / n). The root is the standard error of p for
    n test images.
    """
    announce("preparing the networks of the tutorials")
    from byhand.reproduce import TUTORIALS, plain, run_checks, train_figures

    wanted = [name.upper() for name in tutorials or TUTORIALS]
    for name in wanted:
        if name not in TUTORIALS:
            raise typer.BadParameter(not_one_of(name, TUTORIALS), param_hint="NAME")
    sets = load(data)
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    rows: list[Row] = []
    checks: list[Check] = []
    for row in train_figures(wanted, sets, seeds=seeds, epochs=epochs, full=full, told=warn):
        rows.append(row)
        _write(out, rows, checks, start, len(sets[1]))
        _draw(out, row.figure.tutorial, rows)
    for check in run_checks(wanted, rows, sets, epochs=epochs):
        checks.append(check)
        _write(out, rows, checks, start, len(sets[1]))
    columns = shutil.get_terminal_size().columns
    say(plain(rows, checks, [_header(start, len(sets[1]))], columns))
    say(f"The table and the curves are in {out}.")
    if missed := [*_missed(rows), *(check.what for check in checks if check.passed is False)]:
        limit = "" if epochs is None else f" with --epochs {epochs}"
        warn(f"not reached{limit}: {'; '.join(missed)}")
        raise typer.Exit(1)


def _missed(rows: Iterable[Row]) -> list[str]:
    """Return the published figures that none of our ways of training reached."""
    reached = {row.figure for row in rows if row.reached}
    missed = dict.fromkeys(row.figure for row in rows if row.figure not in reached)
    return [f"{figure.tutorial}, {figure.network}" for figure in missed]


def _write(
    out: Path, rows: Sequence[Row], checks: Sequence[Check], start: float, images: int
) -> None:
    """Write all results so far, so that an interruption loses none of them."""
    from byhand.reproduce import markdown

    table = markdown(rows, checks, [_header(start, images)])
    write_atomic(out / "table.md", table.encode())
    results = {
        "rows": [
            {
                "tutorial": row.figure.tutorial,
                "network": row.figure.network,
                "settings": row.way.settings,
                "figure": row.figure.theirs,
                "ours": row.ours,
                "seconds": row.seconds,
                "reached": row.reached,
                "histories": [[asdict(end) for end in history] for history in row.histories],
            }
            for row in rows
        ],
        "checks": [check._asdict() for check in checks],
    }
    write_atomic(out / "results.json", json.dumps(results, indent=1).encode())


def _header(start: float, images: int) -> str:
    """Return when, on which machine and how the results were measured."""
    from byhand.bench import machine

    isa = next(isa["name"] for isa in config()["instruction_sets"] if isa["active"])
    seconds = time.perf_counter() - start
    return (
        f"{date.today().isoformat()}, byhand {byhand.__version__}, {machine.describe()['cpu']} "
        f"with {isa}, {get_num_threads()} threads, {seconds:.0f} s. Accuracies are means over the "
        f"seeds, on {images:,} test images. Seconds are for one seed, including the evaluation "
        "after each epoch."
    )


def _draw(out: Path, tutorial: str, rows: Iterable[Row]) -> None:
    runs = {
        f"{row.figure.network}, {row.way.settings.partition(':')[0]}": row.histories[0]
        for row in rows
        if row.figure.tutorial == tutorial
    }
    draw_curves(out / f"curves-{tutorial}.png", runs, f"{tutorial}, seed 0")
