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
from byhand.bench.tables import Row, aligned
from byhand.files.atomic import write_atomic
from rich.markup import escape
from rich.text import Text

FORMAT = 1
LEGEND = (
    "median: of the time of a call, or of an epoch of training. spread: (max - min) / median.\n"
    "ratio: the contender's time divided by byhand's, the median over the rounds. Below 1, in "
    "red, byhand is slower.\n"
    "of peak: share of the multiply-adds that these threads can do, which are measured in the "
    "same run. It exceeds 100% if an algorithm needs fewer of them than the direct one, or if "
    "other work disturbed the measurement."
)
# The largest unit that leaves at least 1 before the point.
UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


def unit_of(value: float) -> tuple[str, float]:
    """The name and the size of the unit for a time."""
    return next((unit for unit in UNITS if value >= unit[1]), UNITS[-1])


def digits(value: float) -> str:
    """Three significant digits."""
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def seconds(value: float) -> str:
    """Three significant digits with a unit."""
    unit, size = unit_of(value)
    return f"{digits(value / size)} {unit}"


def rate(result: Result, entry: Entry) -> float | None:
    """FLOP/s of the median, None where arithmetic does not bound the case."""
    return result.flops / entry.times.median if result.flops and entry.times else None


def share_of_peak(flops: float, peak: float) -> str:
    share = flops / peak
    return f"{share:.0%}" if share <= 1 else "> 100%"


def red_below_one(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.2f}" if ratio >= 1 else f"[red]{ratio:.2f}[/]"


def table(title: str, results: Iterable[Result], *, memory: bool, an_image: bool = False) -> Text:
    """A row per contender. memory: with columns of resident memory and page faults. an_image: with
    the median of a call divided by its images."""
    headings = ["contender", "median", "spread", "ratio", "GFLOP/s", "of peak"]
    headings += ["MB", "faults/step"] if memory else []
    headings += ["per image"] if an_image else []
    rows: list[Row] = []
    for result in results:
        times = [entry.times.median for entry in result.entries if entry.times]
        unit, size = unit_of(max(times, default=1.0))
        rows.append(f"[bold]{escape(result.case['label'])}[/], in {unit}")
        for entry in result.entries:
            if entry.times is None:
                rows.append(f"{entry.contender}: [bold red]{escape(entry.problem or '')}[/]")
                continue
            rows.append(_cells(result, entry, size, memory, an_image))
            if entry.note:
                rows.append(f"  {entry.contender}: {escape(entry.note)}")
        rows.append("")
    return aligned(title, headings, rows)


def _cells(result: Result, entry: Entry, unit: float, memory: bool, an_image: bool) -> list[str]:
    assert entry.times is not None
    times, flops = entry.times, rate(result, entry)
    cells = [
        entry.contender,
        digits(times.median / unit),
        f"{times.spread:.0%}",
        "" if entry.contender == OURS else red_below_one(entry.ratio),
        "" if flops is None else digits(flops / 1e9),
        "" if flops is None else share_of_peak(flops, result.peak),
    ]
    if memory:
        cells += [f"{(entry.rss or 0) / 1e6:.0f}", f"{entry.faults:.1f}"]
    if an_image:
        cells.append(digits(times.median / result.case["batch"] / unit))
    return cells


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
