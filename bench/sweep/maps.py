"""Heat maps of a grid: the speed of byhand, the speed of the fastest peer, and their ratio."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from byhand.bench.peers import OURS
from byhand.bench.results import Result
from byhand.bench.run import describe_threads
from byhand.bench.sweep.findings import Point
from byhand.bench.sweep.grids import Grid
from byhand.files.atomic import write_atomic
from byhand.plots.figure import drawing, figure_bytes, new_figure

CELL = 0.36  # inches


def draw(grid: Grid, points: Sequence[Point], counts: Sequence[int], folder: Path) -> None:
    """Draw a row of three maps for each number of threads into one file."""
    rows, columns = len(grid.rows.sizes), len(grid.columns.sizes)
    with drawing():
        figure = new_figure(3 * (CELL * columns + 1.2), len(counts) * (CELL * rows + 1.3) + 0.3)
        axes = figure.subplots(len(counts), 3, squeeze=False)
        figure.suptitle(grid.name)
        for line, count in zip(axes, counts, strict=True):
            is_work = any(point.results[count].flops for point in points)
            unit = "GFLOP/s" if is_work else "GB/s"
            where = describe_threads(count)
            speeds = [_grid(grid, points, count, speed) for speed in (_ours, _fastest_peer)]
            top = max(np.nanmax(speed, initial=0) for speed in speeds)
            for one, values, name in zip(line, speeds, ("byhand", "fastest peer"), strict=False):
                _map(one, grid, values, f"{name}, {unit}, {where}", "viridis", (0, top))
            ratios = _grid(grid, points, count, lambda result: result.ratio)
            limits = -2.0, 2.0
            _map(line[2], grid, ratios, f"ratio, {where}", "RdBu", limits, np.log2)
        content = figure_bytes(figure, ".svg")
    name = re.sub(r"[^a-z0-9]+", "-", grid.name.lower()).strip("-")
    write_atomic(folder / f"{name}.svg", content)


def _grid(
    grid: Grid, points: Sequence[Point], threads: int, value: Callable[[Result], float | None]
) -> np.ndarray:
    values = np.full((len(grid.rows.sizes), len(grid.columns.sizes)), np.nan)
    for point in points:
        found = value(point.results[threads])
        values[point.row, point.column] = np.nan if found is None else found
    return values


def _speed(result: Result, ours: bool) -> float | None:
    work = result.flops or result.bytes
    times = [e.times.median for e in result.entries if e.times and (e.contender == OURS) == ours]
    return work / min(times) / 1e9 if times else None


def _ours(result: Result) -> float | None:
    return _speed(result, True)


def _fastest_peer(result: Result) -> float | None:
    return _speed(result, False)


def _map(axes, grid, values, title, colors, limits, color=lambda values: values) -> None:  # type: ignore[no-untyped-def]
    axes.imshow(color(values), cmap=colors, vmin=limits[0], vmax=limits[1], aspect="auto")
    axes.set_title(title, fontsize=9)
    axes.set_xticks(range(len(grid.columns.sizes)), grid.columns.sizes, rotation=90, fontsize=7)
    axes.set_yticks(range(len(grid.rows.sizes)), grid.rows.sizes, fontsize=7)
    axes.set_xlabel(grid.columns.name, fontsize=8)
    axes.set_ylabel(grid.rows.name, fontsize=8)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            shade = (color(value) - limits[0]) / (limits[1] - limits[0])
            dark = shade < 0.6 if colors == "viridis" else not 0.2 < shade < 0.8
            text = f"{value:.2g}" if value < 100 else f"{value:.0f}"
            axes.text(
                j, i, text, ha="center", va="center", fontsize=5, color="white" if dark else "black"
            )
