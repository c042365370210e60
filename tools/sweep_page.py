"""Write the results of `byhand bench sweep` into docs/sweep.md, and draw its heat maps.

byhand bench sweep --threads 1,2 --json best.json
byhand bench sweep --threads 1,2 --isa avx2 --json avx2.json
python tools/sweep_page.py best.json avx2.json

Files of the same instruction set are joined, so each family of kernels may have its own file.
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from byhand.bench import documents
from byhand.bench.run import describe_threads
from byhand.bench.sweep.findings import Point, Ranking, find_excess, rankings
from byhand.bench.sweep.grids import FAMILIES, Grid, grids
from byhand.bench.tables import digits
from byhand.files.atomic import write_atomic
from byhand.plots.figure import drawing, figure_bytes, new_figure
from PIL import Image

PAGE = Path(__file__).parents[1] / "docs" / "sweep.md"
START, END = "<!-- results -->\n", "<!-- end of results -->"
SHOWN = 20  # points in a list
COLUMNS = 6  # maps beside each other
CELL = 0.1  # inches


@dataclass(frozen=True)
class Sweep:
    """The points of one file, and the numbers of threads at which they were measured."""

    isa: str
    cpu: str
    points: list[Point]
    counts: list[int]

    def of(self, family: str) -> list[Point]:
        return [point for point in self.points if point.grid.family == family]


def read(paths: Sequence[Path]) -> list[Sweep]:
    """Read files of `byhand bench sweep --json`. Return a sweep for each instruction set."""
    found: dict[tuple[str, str], dict[tuple[str, int, int], Point]] = {}
    for path in paths:
        document = documents.read(path)
        for part in document.parts:
            isa = part.arguments.get("isa") or documents.isa_of(part.machine)
            points = found.setdefault((str(isa), str(part.machine["cpu"])), {})
            for result in part.results:
                case = result.case
                if "row" not in case:
                    raise SystemExit(f"{path} has results of another command than `bench sweep`")
                here = case["row"], case["column"]
                point = points.setdefault(
                    (case["group"], *here), Point(grids()[case["group"]], *here)
                )
                point.results[result.threads] = result
    return [_sweep(isa, cpu, list(points.values())) for (isa, cpu), points in found.items()]


def _sweep(isa: str, cpu: str, points: list[Point]) -> Sweep:
    counts = sorted({count for point in points for count in point.results})
    for grid in {point.grid.name: point.grid for point in points}.values():
        own = [point for point in points if point.grid is grid]
        for count in counts:
            find_excess(own, count)
    return Sweep(isa, cpu, points, counts)


def summary(sweep: Sweep) -> str:
    """Return a table with a row for each family and number of threads.

    `compared` counts the points that a peer can compute, too, and that have at least 1 MFLOP or
    are limited by memory.
    """
    heads = ("kernels", "threads", "points", "cliffs", "compared", "mean ratio", "below 0.9")
    rows = [heads, ("---", *["---:"] * 6)]
    for family in FAMILIES:
        for count in sweep.counts:
            own = [point for point in sweep.of(family) if count in point.results]
            if not own:
                continue
            excess, *ratios = rankings(own, [count])
            found = [ratio for ranking in ratios for ratio, _ in ranking.values]
            mean = digits(statistics.geometric_mean(found)) if found else ""
            slow = sum(ranking.slow for ranking in ratios)
            cells = (count, len(own), excess.slow, len(found), mean, slow)
            rows.append((f"`{family}`", *map(str, cells)))
    return _table(rows)


def worst(sweep: Sweep) -> Iterator[str]:
    """Yield a title and a table for each rule: its worst points.

    The list of ratios of a family has only points that break the rule.
    """
    for ranking in rankings(sweep.points, sweep.counts):
        if ranking.values and ranking.heading != "ratio":
            yield _list(ranking, ranking.title, SHOWN)
    for family in FAMILIES:
        for ranking in rankings(sweep.of(family), sweep.counts):
            if ranking.slow and ranking.heading == "ratio":
                yield _list(ranking, f"`{family}`: {ranking.title}", min(SHOWN, ranking.slow))


def _list(ranking: Ranking, title: str, shown: int) -> str:
    rows = [("grid", "sizes", ranking.heading), ("---", "---", "---:")]
    rows += [(p.grid.name, p.sizes, digits(value)) for value, p in ranking.values[:shown]]
    return f"{title}:\n\n{_table(rows)}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def draw(sweep: Sweep, family: str) -> bytes:
    """Draw the ratios of a family: a small map for each grid and number of threads."""
    points = sweep.of(family)
    names = list(dict.fromkeys(point.grid.name for point in points))
    maps = [
        (grids()[name], count)
        for name in names
        for count in sweep.counts
        if any(count in p.results for p in points if p.grid.name == name)
    ]
    lines = math.ceil(len(maps) / COLUMNS)
    height = CELL * max(len(grid.rows.sizes) for grid, _ in maps) + 0.75
    with drawing():
        figure = new_figure(COLUMNS * 2.3, lines * height + 0.5)
        axes = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
        for one in axes[len(maps) :]:
            one.set_axis_off()
        for one, (grid, count) in zip(axes, maps, strict=False):
            _map(one, grid, count, [p for p in points if p.grid is grid])
        figure.suptitle(
            "time of the fastest peer / time of byhand: white 1, blue 2 and more, red 1/2"
        )
        content = figure_bytes(figure, ".png")
    # Half as wide and with 64 colours, the file is a fifth as large. Maximum coverage keeps the
    # colours of few cells.
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    small = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    colours = small.quantize(64, Image.Quantize.MAXCOVERAGE)
    colours.save(reduced := io.BytesIO(), "PNG", optimize=True)
    return reduced.getvalue()


def _map(axes, grid: Grid, count: int, points: Sequence[Point]) -> None:  # type: ignore[no-untyped-def]
    values = np.full((len(grid.rows.sizes), len(grid.columns.sizes)), np.nan)
    for point in points:
        result = point.results.get(count)
        if result is not None and result.ratio is not None:
            values[point.row, point.column] = math.log2(result.ratio)
    axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    name = grid.name.replace(f"{grid.family} ", "")
    axes.set_title(f"{name}\n{describe_threads(count)}", fontsize=5)
    axes.set_xticks(range(len(grid.columns.sizes)), grid.columns.sizes, rotation=90, fontsize=4)
    axes.set_yticks(range(len(grid.rows.sizes)), grid.rows.sizes, fontsize=4)
    axes.set_xlabel(grid.columns.name, fontsize=5)
    axes.set_ylabel(grid.rows.name, fontsize=5)
    axes.tick_params(length=1, pad=1)


def written(text: str, sweeps: Sequence[Sweep], picture: Callable[[Sweep, str], str]) -> str:
    """Return the text of the page with new results between its two comments.

    `picture` draws the maps of a family, and returns the path of the picture from the page.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise SystemExit(f"the page must have the lines {START.strip()} and {END}")
    parts = []
    for sweep in sweeps:
        parts += [f"## With {sweep.isa}, on {sweep.cpu}\n", summary(sweep)]
        for family in FAMILIES:
            if sweep.of(family):
                alt = f"Heat maps of the ratios of {family} with {sweep.isa}"
                parts.append(f"![{alt}]({picture(sweep, family)})\n")
        parts += worst(sweep)
    return f"{before}{start}\n" + "\n".join(parts) + f"\n{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="files of `byhand bench sweep --json`")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to change")
    arguments = parser.parse_args()
    page: Path = arguments.page
    sweeps = read(arguments.files)

    def picture(sweep: Sweep, family: str) -> str:
        maker = sweep.cpu.split("(")[0].split()[0].lower()  # such as intel
        name = f"pictures/sweep_{family}_{sweep.isa}_{maker}.png"
        write_atomic(page.parent / name, draw(sweep, family))
        return name

    write_atomic(page, written(page.read_text(), sweeps, picture).encode())


if __name__ == "__main__":
    main()
