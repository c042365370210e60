"""A run of a benchmark: contests, peaks, tables, the file, the exit code."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from byhand.bench import machine, numpy_page, report
from byhand.bench.cases import Case
from byhand.bench.goals import Line, summary_table
from byhand.bench.harness import Arrays, Contest, Result
from byhand.bench.peak import fma_peak
from byhand.bench.peers import Contender
from byhand.bench.sampling import KernelJob
from byhand.plots.formats import PLOT_FORMATS
from rich.console import Console

# Largest relative difference of a kernel's result from that in float64, in the Euclidean norm: sums
# of up to 73,728 products in float32.
KERNEL_TOLERANCE = 3e-5


class Run:
    """The parts that all commands share: threads, peaks, tables, the file."""

    def __init__(self, arguments: dict[str, Any], json: Path | None, memory: bool) -> None:
        if json is not None:
            check_folder(json)
        self.console = Console()
        if not self.console.is_terminal and "COLUMNS" not in os.environ:
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

    def begin(self, threads: int) -> float:
        """The peak that it measures and tells, in FLOP/s."""
        self._peaks[threads] = [fma_peak(threads)]
        peak = self._peaks[threads][0]
        self.console.print(
            f"FMA peak, {describe_threads(threads)}: {peak / 1e9:.0f} GFLOP/s", style="bold"
        )
        return peak

    def keep(self, results: Sequence[Result], contest: Contest, *, around: bool = False) -> None:
        """around: the peak is measured again, and the larger of this and the last counts."""
        peaks = self._peaks[contest.threads]
        if around:
            peaks.append(fma_peak(contest.threads))
        for result in results:
            result.peak = max(peaks[-2:])
        self._results += results
        self._versions |= contest.versions

    def show(
        self, title: str, results: Sequence[Result], contest: Contest, *, an_image: bool = False
    ) -> None:
        self.keep(results, contest)
        title = f"{title}, {describe_threads(contest.threads)}"
        view = report.table(title, results, memory=self._memory, an_image=an_image)
        self.console.print(view)

    def compete(
        self,
        contenders: Sequence[Contender],
        counts: Sequence[int],
        groups: Sequence[str],
        measure: Callable[[Contest, str], list[Result]],
        summary: Callable[[list[Result], int], Iterable[Line]],
        legend: str = report.LEGEND,
    ) -> None:
        """Every group on every number of threads; then a summary of each number; then `end`.

        measure: measures, keeps and shows a group.
        """
        lines: dict[int, list[Line]] = {}
        for count in counts:
            self.begin(count)
            with Contest(contenders, count) as contest:
                results = [result for group in groups for result in measure(contest, group)]
            lines[count] = list(summary(results, count))
        against = ", ".join(contender.name for contender in contenders[1:])
        for count in counts:
            title = f"Summary, {describe_threads(count)}, against {against}"
            self.console.print(summary_table(title, lines[count]))
        self.end(legend, [line.as_json(count) for count in counts for line in lines[count]])

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


def time_kernel(contest: Contest, case: Case, batch: int, rounds: int, seconds: float) -> Result:
    entries = contest.run(
        {"kernel": case.name, "batch": batch},
        _reference(case, batch),
        amounts={contender.name: seconds for contender in contest.contenders},
        scale=1,
        rounds=rounds,
        tolerance=KERNEL_TOLERANCE,
    )
    labels = {"label": case.name, "op": case.op, "shape": case.shape, "batch": batch}
    return Result(labels, contest.threads, case.work(batch), entries)


def _reference(case: Case, batch: int) -> Arrays:
    def to_float64(argument: Any) -> Any:
        wide = isinstance(argument, np.ndarray) and argument.dtype == np.float32
        return argument.astype(np.float64) if wide else argument

    return KernelJob(getattr(numpy_page, case.op), case, batch, to_float64).results()


def check_folder(path: Path) -> None:
    """Measuring is long: a folder that cannot be written must show first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def check_plot(path: Path) -> None:
    """Refuse a file for a plot that cannot be written, or whose format is unknown."""
    if path.suffix.lower() not in PLOT_FORMATS:
        formats = ", ".join(PLOT_FORMATS)
        raise typer.BadParameter(f"{path} must end in {formats}.", param_hint="--plot")
    check_folder(path)


def describe_threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
