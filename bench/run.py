"""A run of a benchmark: its contests, peaks, tables, JSON file and exit code."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from byhand.bench import isa, machine, numpy_page, tables
from byhand.bench.cases import Case
from byhand.bench.harness import Arrays, Contest
from byhand.bench.peak import fma_peak
from byhand.bench.peers import Contender
from byhand.bench.results import Result, summary
from byhand.bench.sampling import KernelJob
from byhand.files.atomic import write_atomic
from rich.console import Console
from rich.text import Text

FORMAT = 3  # of the JSON file
# The unit of each figure in the JSON file.
UNITS = {
    "rounds, min, median, max, ends": "s",
    "spread, ratio, of_peak, accuracies, difference": "1",
    "flops": "FLOP",
    "flops_per_second, fma_peak": "FLOP/s",
    "bytes, rss, workspace": "B",
    "memory_rate": "B/s",
    "faults": "page faults per call or training step",
}
# Largest relative difference of a kernel's result from that in float64, in the Euclidean norm. The
# kernels add up to 73,728 products in float32.
KERNEL_TOLERANCE = 3e-5


class Run:
    """The parts that all commands share: threads, peaks, tables, the file."""

    def __init__(self, arguments: dict[str, Any], json: Path | None) -> None:
        if json is not None:
            check_folder(json)
        self.console = new_console()
        self._arguments = arguments | {"isa": isa.held()}
        self._json = json
        self._machine = machine.describe()
        warning = machine.load_warning(load_before(), self._machine["usable_processors"])
        if warning:
            self.console.print(warning, style="red")
        self._versions: dict[str, str] = {}
        self._peaks: dict[int, list[float]] = {}
        self._results: list[Result] = []

    def begin(self, threads: int) -> float:
        """Measure the peak, print it, and return it in FLOP/s."""
        self._peaks[threads] = [fma_peak(threads)]
        peak = self._peaks[threads][0]
        self.console.print(
            f"FMA peak, {describe_threads(threads)}: {peak / 1e9:.0f} GFLOP/s", style="bold"
        )
        return peak

    def keep(self, results: Sequence[Result], contest: Contest) -> None:
        """Add the results of a group. The peak is measured again, and the larger value counts."""
        peaks = self._peaks[contest.threads]
        peaks.append(fma_peak(contest.threads))
        for result in results:
            result.peak = max(peaks[-2:])
        self._results += results
        self._versions |= contest.versions

    def compete(
        self,
        contenders: Sequence[Contender],
        counts: Sequence[int],
        groups: Sequence[str],
        measure: Callable[[Contest, str], list[Result]],
        show: Callable[[str, Sequence[Result]], Text] = tables.by_contender,
        legend: str = tables.LEGEND,
    ) -> None:
        """Measure and show every group on every number of threads; then show a summary and end.

        Parameters
        ----------
        measure : function of a contest and the name of a group, which returns the results
        show : function of a title and the results of a group, which returns a table
        """
        lines = []
        for count in counts:
            self.begin(count)
            with Contest(contenders, count) as contest:
                results: list[Result] = []
                for group in groups:
                    own = measure(contest, group)
                    for result in own:
                        result.case["group"] = group
                    self.keep(own, contest)
                    self.console.print(show(f"{group}, {describe_threads(count)}", own))
                    results += own
            lines.append((count, summary(results)))
        for count, own_lines in lines:
            if own_lines:
                title = f"byhand against the fastest contender, {describe_threads(count)}"
                self.console.print(tables.summary_table(title, own_lines))
        self.end(legend, [{"threads": count} | line for count, own in lines for line in own])

    def end(self, legend: str, summary: Sequence[Mapping[str, Any]] = ()) -> None:
        """Print the legend and write the file. Exit with code 1 if a contender has a problem."""
        self.console.print(legend, style="dim", highlight=False)
        if self._json is not None:
            document = {
                "format": FORMAT,
                "units": UNITS,
                "arguments": self._arguments,
                "machine": self._machine,
                "versions": self._versions,
                "fma_peak": self._peaks,  # FLOP/s by number of threads, in order of time
                "results": [result.as_json() for result in self._results],
                "summary": list(summary),
            }
            text = json.dumps(document, indent=1, allow_nan=False)
            write_atomic(self._json, text.encode() + b"\n")
        problems = [(r.case["label"], e) for r in self._results for e in r.entries if e.problem]
        for label, entry in problems:
            message = f"{label}: {entry.contender}: {entry.problem}"
            typer.secho(message, fg=typer.colors.RED, err=True)
        if problems:
            raise typer.Exit(1)


def new_console() -> Console:
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 200  # whole rows for files and pipes
    return console


@functools.cache
def load_before() -> float:
    """Return the load of the machine before the first benchmark of this process.

    Later, the load of the system includes the benchmark itself.
    """
    return os.getloadavg()[0]


def time_kernel(contest: Contest, case: Case, batch: int, rounds: int, seconds: float) -> Result:
    exact = reference(case, batch)
    entries = contest.run(
        (case.name, batch),
        exact,
        amount=lambda _: seconds,
        rounds=rounds,
        tolerance=KERNEL_TOLERANCE,
    )
    labels: dict[str, Any] = {"label": case.name, "op": case.op, "shape": case.shape}
    labels["batch"] = None if case.fixed else batch
    moved = bytes_moved(case, batch, exact)
    return Result(labels, contest.threads, case.work(batch), entries, bytes=moved)


def bytes_moved(case: Case, batch: int, results: Arrays) -> int:
    """Return the size of the arrays that a call reads and writes, each counted once.

    Every result has 4 bytes per value: float32 or int32.
    """
    arrays = [a for a in case.arguments(batch) if isinstance(a, np.ndarray)]
    if case.op == "gather_images":  # reads only `batch` of its images
        arrays[0] = arrays[0][:batch]
    return sum(a.nbytes for a in arrays) + sum(4 * np.size(result) for result in results)


def reference(case: Case, batch: int) -> Arrays:
    """Return the results of a kernel in float64, computed by NumPy."""

    def to_float64(argument: Any) -> Any:
        wide = isinstance(argument, np.ndarray) and argument.dtype == np.float32
        return argument.astype(np.float64) if wide else argument

    return KernelJob(getattr(numpy_page, case.op), case, batch, to_float64).results()


def check_folder(path: Path) -> None:
    """Make the folder of a file. Raise OSError now, before measuring, if it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def describe_threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
