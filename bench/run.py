"""A run of a benchmark: peaks, tables, the file, the exit code."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from byhand.bench import machine, report
from byhand.bench.harness import Contest, Result
from byhand.bench.peak import fma_peak
from rich.console import Console


class Run:
    """What the commands share: threads, peaks, tables, the file."""

    def __init__(self, arguments: dict[str, Any], json: Path | None, memory: bool) -> None:
        if json is not None:
            check_folder(json)
        self.console = Console()
        if not self.console.is_terminal:
            self.console.width = 200  # whole rows for files and pipes
        self._arguments = arguments
        self._json = json
        self._memory = memory
        self._machine = machine.describe()
        load, processors = self._machine["load"][0], self._machine["usable_processors"]
        if load > processors / 2:
            warning = f"Other work runs here: load {load:.1f} on {processors} processors."
            self.console.print(f"{warning} The figures will not be reproducible.", style="red")
        self._versions: dict[str, str] = {}
        self._peaks: dict[int, list[float]] = {}
        self._results: list[Result] = []

    def begin(self, threads: int) -> None:
        self._peaks[threads] = [fma_peak(threads)]
        gflops = self._peaks[threads][0] / 1e9
        self.console.print(
            f"FMA peak, {describe_threads(threads)}: {gflops:.0f} GFLOP/s", style="bold"
        )

    def keep(self, results: Sequence[Result], contest: Contest, *, around: bool = False) -> None:
        """around: the peak is measured again, and the larger of this and the last counts."""
        peaks = self._peaks[contest.threads]
        if around:
            peaks.append(fma_peak(contest.threads))
        for result in results:
            result.peak = max(peaks[-2:])
        self._results += results
        self._versions |= contest.versions

    def show(self, title: str, results: Sequence[Result], contest: Contest) -> None:
        self.keep(results, contest)
        title = f"{title}, {describe_threads(contest.threads)}"
        self.console.print(report.table(title, results, memory=self._memory))

    def end(self, legend: str = report.LEGEND, summary: Sequence[Mapping[str, Any]] = ()) -> None:
        """Writes the file; exits with 1 where a contender was wrong or failed."""
        for threads, peak in self._peaks.items():
            peak.append(fma_peak(threads))
        self.console.print(legend, style="dim", highlight=False)
        if self._json is not None:
            report.write(
                self._json,
                self._arguments,
                self._machine,
                self._versions,
                self._peaks,
                self._results,
                summary,
            )
        problems = [(r.case["label"], e) for r in self._results for e in r.entries if e.problem]
        for label, entry in problems:
            message = f"{label}: {entry.contender}: {entry.problem}"
            typer.secho(message, fg=typer.colors.RED, err=True)
        if problems:
            raise typer.Exit(1)


def check_folder(path: Path) -> None:
    """Measuring is long: a folder that cannot be written must show first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def describe_threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
