"""Results as tables for the terminal and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from byhand.bench.harness import Entry, Result
from byhand.bench.peers import OURS
from byhand.checkpoint import write_atomic
from rich.markup import escape
from rich.table import Table

FORMAT = 1
LEGEND = (
    "ratio: the contender's time over byhand's, round by round, the median; below 1, in red, "
    "byhand is slower.\n"
    "of peak: of the multiply-adds that these threads can do, measured in this run."
)
# The largest unit that leaves at least 1 before the point.
UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


def seconds(value: float) -> str:
    """Three significant digits with a unit."""
    unit, size = next((u for u in UNITS if value >= u[1]), UNITS[-1])
    scaled = value / size
    digits = 2 if scaled < 10 else 1 if scaled < 100 else 0
    return f"{scaled:.{digits}f} {unit}"


def rate(result: Result, entry: Entry) -> float | None:
    """FLOP/s of the median, None where arithmetic does not bound the case."""
    return result.flops / entry.times.median if result.flops and entry.times else None


def table(title: str, results: Iterable[Result], *, memory: bool, an_image: bool = False) -> Table:
    """A row a contender. memory: with columns of resident memory and page faults. an_image: with
    the median of a call by its images."""
    view = Table(title=title, title_justify="left", show_lines=False)
    view.add_column("case")
    view.add_column("contender")
    numbers = ["median", "min", "max", "spread", "ratio", "GFLOP/s", "of peak"]
    numbers += ["peak RSS", "faults/step"] if memory else []
    for heading in [*numbers, *(["an image"] if an_image else [])]:
        view.add_column(heading, justify="right")
    view.add_column("")
    for result in results:
        for i, entry in enumerate(result.entries):
            label = result.case["label"] if i == 0 else ""
            end = i == len(result.entries) - 1
            view.add_row(label, *_cells(result, entry, memory, an_image), end_section=end)
    return view


def _cells(result: Result, entry: Entry, memory: bool, an_image: bool) -> list[str]:
    width = 7 + 2 * memory + an_image
    if entry.times is None:
        return [entry.contender, *[""] * width, f"[bold red]{escape(entry.problem or '')}[/]"]
    times, flops = entry.times, rate(result, entry)
    ratio = "" if entry.ratio is None or entry.contender == OURS else f"{entry.ratio:.2f}"
    cells = [
        entry.contender,
        *(seconds(value) for value in (times.median, times.min, times.max)),
        f"{times.spread:.0%}",
        f"[red]{ratio}[/]" if ratio and entry.ratio is not None and entry.ratio < 1 else ratio,
        "" if flops is None else f"{flops / 1e9:.1f}",
        "" if flops is None else f"{flops / result.peak:.0%}",
    ]
    if memory:
        cells += [f"{(entry.rss or 0) / 1e6:.0f} MB", f"{entry.faults:.1f}"]
    if an_image:
        cells.append(seconds(times.median / result.case["batch"]))
    return [*cells, escape(entry.note)]


def _entry(result: Result, entry: Entry) -> dict[str, Any]:
    row = dataclasses.asdict(entry)
    flops = rate(result, entry)
    if entry.times is not None:
        times = entry.times
        row["times"] |= {"min": times.min, "median": times.median, "max": times.max}
        row["times"]["spread"] = times.spread
    if entry.difference is not None and not math.isfinite(entry.difference):
        row["difference"] = None  # JSON has no infinity; `problem` tells
    return row | {
        "flops_per_second": flops,
        "of_peak": None if flops is None else flops / result.peak,
    }


def write(
    path: str | os.PathLike[str],
    arguments: Mapping[str, Any],
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
    peaks: Mapping[int, Sequence[float]],
    results: Iterable[Result],
    summary: Sequence[Mapping[str, Any]],
) -> None:
    """Everything that was measured, as JSON. peaks: FLOP/s by threads, in order of time."""
    document = {
        "format": FORMAT,
        "arguments": arguments,
        "machine": machine,
        "versions": versions,
        "fma_peak": {str(threads): list(peak) for threads, peak in peaks.items()},
        "results": [
            {"case": r.case, "threads": r.threads, "flops": r.flops, "fma_peak": r.peak}
            | {"failed": r.failed, "entries": [_entry(r, entry) for entry in r.entries]}
            for r in results
        ],
        "summary": list(summary),
    }
    write_atomic(path, json.dumps(document, indent=1, allow_nan=False).encode() + b"\n")
