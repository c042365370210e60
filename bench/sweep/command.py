"""`byhand bench sweep`: measures the grids, and lists the slow points."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from byhand.bench import tables
from byhand.bench.cases import Case
from byhand.bench.harness import Contest
from byhand.bench.options import (
    IsaOption,
    JsonOption,
    ThreadsOption,
    chosen,
    contenders_of,
    peers_option,
    threads_of,
)
from byhand.bench.peers import Contender
from byhand.bench.run import Run, check_folder, describe_threads, time_kernel
from byhand.bench.sweep.findings import Point, find_excess, rankings
from byhand.bench.sweep.grids import FAMILIES, Grid, grids
from rich.text import Text

DEFAULT_PEERS = ("numpy", "torch", "torch-channels-last")
SHOWN = 20  # points in each list
# A point that looks slow is measured again in this number of rounds, because one disturbed turn
# among thousands must not look like a slow kernel.
ROUNDS_AGAIN = 7
LEGEND = (
    "excess: the time of a call divided by the time that the neighbouring sizes predict.\n"
    "times as long: the time on the most threads divided by the time on the fewest.\n"
    "ratio: the time of the fastest peer divided by byhand's. Below 1, byhand is slower."
)


def command(
    families: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help=f"Kernels: {', '.join(FAMILIES)}.", show_default="all"
        ),
    ] = "",
    grid: Annotated[
        str,
        typer.Option(metavar="WORDS", help="Only grids whose name contains these words."),
    ] = "",
    threads: ThreadsOption = "",
    isa: IsaOption = "",
    peers: Annotated[str, peers_option("numpy, and torch in both layouts, if installed")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="Number of turns of each contender.")] = 1,
    seconds: Annotated[float, typer.Option(min=0, help="Length of one turn in seconds.")] = 0.004,
    json: JsonOption = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Also draw a heat map of each grid into this folder.",
        ),
    ] = None,
) -> None:
    """Time the kernels over many sizes, and list the sizes that are slow.

    A size is slow if it takes more than 1.5 times what its neighbours predict, if more threads are
    slower by 5 %, or if byhand takes longer than the fastest peer divided by 0.9, from 1 MFLOP on.
    All sizes that look slow are measured again. A sweep of everything takes hours: --families and
    --grid choose a part.
    """
    names = chosen(families, FAMILIES, "--families")
    wanted = [g for g in grids().values() if g.family in names and grid in g.name]
    if not wanted:
        raise typer.BadParameter(f"no grid has {grid!r} in its name", param_hint="--grid")
    contenders, counts = contenders_of(peers, DEFAULT_PEERS), threads_of(threads)
    if maps is not None:
        from byhand.bench.sweep.maps import draw  # fails here, before measuring, if it cannot draw

        check_folder(maps / "map.svg")
    arguments = {"command": "sweep", "families": names, "grid": grid}
    run = Run(arguments | {"rounds": rounds, "seconds": seconds}, json)
    points: list[Point] = []
    for one in wanted:
        own = _measure(run, one, contenders, counts, rounds, seconds)
        for count in counts:
            run.console.print(_slowest_of(one, own, count))
        if maps is not None:
            draw(one, own, counts, maps)
        points += own
    for ranking in rankings(points, counts):
        if not ranking.values:
            continue
        cells = [(p.grid.name, p.sizes, tables.digits(v)) for v, p in ranking.values[:SHOWN]]
        heads = ("grid", "<sizes", ranking.heading)
        run.console.print(tables.aligned(ranking.title, heads, cells))
    run.end(LEGEND)


def _measure(
    run: Run,
    grid: Grid,
    contenders: Sequence[Contender],
    counts: Sequence[int],
    rounds: int,
    seconds: float,
) -> list[Point]:
    """Measure every point of a grid on each number of threads, and slow points once more."""
    cases = {(i, j): case for i, j, case in grid.points()}
    points = {(i, j): Point(grid, i, j) for i, j in cases}
    with ExitStack() as stack:
        contests = [stack.enter_context(Contest(contenders, count)) for count in counts]
        for count in counts:
            run.begin(count)

        def time(i: int, j: int, case: Case, turns: int, length: float) -> None:
            for contest in contests:
                result = time_kernel(contest, case, 1, turns, length)
                result.case |= {"group": grid.name, "row": i, "column": j}
                result.case["work"] = case.flops or case.taps or result.bytes
                points[i, j].results[contest.threads] = result

        for (i, j), case in cases.items():
            time(i, j, case, rounds, seconds)
        own = list(points.values())
        for count in counts:
            find_excess(own, count)
        for point in own:
            if point.is_slow():
                here = point.row, point.column
                time(*here, cases[here], ROUNDS_AGAIN, 5 * seconds)
        for contest in contests:
            find_excess(own, contest.threads)
            run.keep([point.results[contest.threads] for point in own], contest)
    return own


def _slowest_of(grid: Grid, points: Sequence[Point], threads: int) -> Text:
    """Say in one line how many points there are, and the worst excess and ratio."""
    excess = max(points, key=lambda point: point.excess.get(threads, 0))
    ratios = [(r.ratio, p) for p in points if (r := p.results[threads]).ratio is not None]
    text = f"{grid.name}, {describe_threads(threads)}: {len(points)} points; "
    if threads in excess.excess:
        text += f"excess up to {excess.excess[threads]:.2f} ({excess.sizes})"
    if ratios:
        ratio, point = min(ratios, key=lambda pair: pair[0] or 0)
        text += f"; ratio from {ratio:.2f} ({point.sizes})"
    return Text(text)
