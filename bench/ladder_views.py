"""The table, the chart and the Markdown table of `byhand ladder`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from byhand.bench import tables
from byhand.bench.run import describe_threads
from byhand.files.atomic import write_atomic
from rich.markup import escape
from rich.text import Text


@dataclasses.dataclass(frozen=True)
class Rung:
    """The speed of one step, of byhand's kernel, or of another library.

    rate, peak : in FLOP/s.
    gain : the rate divided by the rate of the step before.
    what_changes, path : the sentence and the file of a step.
    """

    name: str
    threads: int
    rate: float | None
    peak: float
    problem: str = ""
    gain: float | None = None
    what_changes: str = ""
    path: Path | None = None

    @property
    def figures(self) -> tuple[str, str, str]:
        """The GFLOP/s or the kind of the problem, the share of the peak, and the gain."""
        if self.rate is None:
            return self.problem.partition(":")[0], "", ""
        gain = "" if self.gain is None else f"{self.gain:.2f} x"
        return f"{self.rate / 1e9:.2f}", f"{self.rate / self.peak:.1%}", gain

    @property
    def label(self) -> str:
        threads = f" ({describe_threads(self.threads)})" if self.threads > 1 else ""
        return f"{self.name}{threads}"


def table(title: str, rungs: Sequence[Rung]) -> Text:
    """Lay out a row for each rung, and below it what the step changes."""
    rows: list[tables.Row] = []
    for rung in rungs:
        speed, share, gain = rung.figures
        speed = speed if rung.rate else f"[bold red]{speed}[/]"
        rows.append((escape(rung.name), str(rung.threads), speed, share, gain))
        if rung.what_changes:
            rows.append(f"[dim]  {escape(rung.what_changes)}[/]")
    return tables.aligned(title, ("step", "threads", "GFLOP/s", "of peak", "gain"), rows)


def chart(title: str, rungs: Sequence[Rung], suffix: str = ".svg") -> bytes:
    """Draw a bar for each rung, and a line at the peak for each number of threads."""
    from byhand.plots.figure import drawing, figure_bytes, new_figure  # slow to import

    with drawing():
        figure = new_figure(9, 1 + 0.4 * len(rungs))
        axes = figure.subplots()
        names = [rung.label for rung in rungs]
        colors = ["C0" if rung.path else "C2" if rung.what_changes else "0.6" for rung in rungs]
        speeds = [(rung.rate or 0) / 1e9 for rung in rungs]
        bars = axes.barh(range(len(rungs)), speeds, color=colors)
        axes.set_yticks(range(len(rungs)), names)
        labels = ["  ".join(rung.figures[:2]) for rung in rungs]
        axes.bar_label(bars, labels, padding=4, backgroundcolor="white")
        peaks = {rung.threads: rung.peak / 1e9 for rung in rungs}
        for threads, peak in peaks.items():
            axes.axvline(peak, color="C3", linestyle="--", zorder=0)
            text = f"peak of {describe_threads(threads)}"
            top = ("data", "axes fraction")
            axes.annotate(text, (peak, 1.01), xycoords=top, color="C3", ha="right")
        axes.invert_yaxis()
        axes.set_xlim(0, 1.25 * max([*peaks.values(), *speeds]))
        axes.set_xlabel("GFLOP/s, and share of the peak of the same number of threads")
        axes.set_title(title, pad=20)
    return figure_bytes(figure, suffix)


def split_page(page: Path, operator: str) -> tuple[str, str]:
    """Return the text of a Markdown page before and after the table, with the comments around it.

    Raises
    ------
    ValueError
        If the page does not have the comments.
    """
    text = page.read_text()
    start, end = f"<!-- ladder {operator} -->\n", "<!-- end of ladder -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} must have the lines {start.strip()} and {end}")
    return before + start, end + after


def write_into_page(
    page: Path, operator: str, title: str, rungs: Sequence[Rung], plot: Path | None
) -> None:
    """Write the table, and a link to the chart, between two comments of a Markdown page."""
    before, after = split_page(page, operator)
    body = "".join(f"| {' | '.join(row)} |\n" for row in _markdown_rows(page, rungs))
    if plot is not None:
        body += f"\n![{title}]({os.path.relpath(plot, page.resolve().parent)})\n"
    write_atomic(page, f"{before}\n{body}\n{after}".encode())


def _markdown_rows(page: Path, rungs: Sequence[Rung]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("step", "what changes", "threads", "GFLOP/s", "of peak", "gain"),
        ("---",) * 6,
    ]
    for rung in rungs:
        name = rung.name
        if rung.path is not None:
            name = f"[{name}]({os.path.relpath(rung.path, page.resolve().parent)})"
        rows.append((name, rung.what_changes, str(rung.threads), *rung.figures))
    return rows
