"""Contenders in processes of their own: verified against the reference, then timed in turns."""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from byhand.bench.peers import OURS, Contender
from numpy.typing import NDArray

# Seconds. Libraries' idle threads spin for up to 20 ms or so after their last call, and would take
# the next contender's processors.
PAUSE = 0.05
Arrays = Sequence[NDArray[Any]]
# From a contender's arrays and the reference's to how far they are apart.
Measure = Callable[[Arrays, Arrays], float]


@dataclass(frozen=True)
class Times:
    """Seconds over the rounds."""

    rounds: tuple[float, ...]

    @property
    def min(self) -> float:
        return min(self.rounds)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def max(self) -> float:
        return max(self.rounds)

    @property
    def spread(self) -> float:
        """(max - min) / median."""
        return (self.max - self.min) / self.median

    def over(self, other: Times) -> float:
        """The median of the rounds' quotients: a neighbour slows a whole round, so they bear it."""
        quotients = (a / b for a, b in zip(self.rounds, other.rounds, strict=False))
        return statistics.median(quotients)


@dataclass
class Entry:
    """The result of one contender. problem: why there are no times, None if there are."""

    contender: str
    problem: str | None = None
    difference: float | None = None
    times: Times | None = None
    ratio: float | None = None
    faults: float | None = None
    rss: int | None = None
    note: str = ""


@dataclass
class Result:
    """One case on a number of threads. flops: of what is timed; 0 where memory bounds it.

    peak: FLOP/s of multiply-adds on these threads, measured in this run.
    """

    case: dict[str, Any]
    threads: int
    flops: int
    entries: list[Entry] = field(default_factory=list)
    peak: float = 0.0

    @property
    def failed(self) -> bool:
        return any(entry.problem is not None for entry in self.entries)


def difference(results: Arrays, reference: Arrays) -> float:
    """The largest |x - reference| / |reference| over the arrays, in the Euclidean norm.

    Only as many arrays as the contender returns: PyTorch's cross entropy keeps its probabilities to
    itself. Infinite where a shape differs or a value isn't finite.
    """
    worst = 0.0 if results else np.inf
    for got, want in zip(results, reference, strict=False):
        if got.shape != want.shape or not np.isfinite(got - want).all():
            return float(np.inf)
        error = np.linalg.norm((got - want).ravel())
        norm = np.linalg.norm(np.asarray(want, np.float64).ravel())
        worst = max(worst, float(error / norm) if norm > 0 else float(error))
    return worst


class WorkerError(Exception):
    """A contender that raised or died."""


class _Process:
    """A contender's process, and its requests."""

    def __init__(self, contender: Contender, threads: int) -> None:
        config = {
            "module": contender.module,
            "threads": threads,
            "options": dict(contender.options),
        }
        # Whatever the user has set there for OpenBLAS is not NumPy at its best.
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
        }
        for library in ("OMP", "OPENBLAS", "MKL", "BYHAND"):
            environment[f"{library}_NUM_THREADS"] = str(threads)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in close()
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "byhand.bench.worker", json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            text=True,
        )
        try:
            self.version: str = self._reply()["version"]
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # _reply tells why
            print(json.dumps(request), file=self._popen.stdin, flush=True)
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            code = self._popen.wait()
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines() or ["no message"]
            raise WorkerError(f"ended with code {code}: {said[-1]}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def close(self) -> None:
        self._popen.kill()
        self._popen.communicate()
        self._errors.close()


class Contest:
    """Contenders on one number of threads; `run` is one case. Use as a context."""

    def __init__(self, contenders: Sequence[Contender], threads: int) -> None:
        self.threads = threads
        self.versions: dict[str, str] = {}
        self.contenders = contenders
        self._processes: dict[str, _Process] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="byhand-bench-")

    def __enter__(self) -> Contest:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.close()
        self._folder.cleanup()

    def run(
        self,
        prepare: dict[str, Any],
        reference: Arrays,
        *,
        amounts: dict[str, Any],
        scale: int,
        rounds: int,
        tolerance: float,
        measure: Measure = difference,
        enough: float = math.inf,
    ) -> list[Entry]:
        """Verify, then `rounds` rounds, each contender once a round, a different one first.

        prepare: the case as the worker knows it. amounts: by name, of each sample. scale: times are
        those of so many calls or images. enough: seconds of turns after which a contender has no
        more of them.
        """
        verified = self.verify(prepare, reference, tolerance=tolerance, measure=measure)
        entries = {entry.contender: entry for entry in verified}
        time.sleep(PAUSE)  # NumPy, whose reference was made in this process, has threads too
        names = [name for name, entry in entries.items() if entry.problem is None]
        samples: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        spent = dict.fromkeys(names, 0.0)
        for i in range(rounds):
            first = i % len(names) if names else 0
            for name in [*names[first:], *names[:first]]:
                if entries[name].problem is None and spent[name] < enough:
                    start = time.perf_counter()
                    self._sample(entries[name], amounts[name], samples[name])
                    spent[name] += time.perf_counter() - start
        for name in names:
            if entries[name].problem is None:
                _sum_up(entries[name], samples[name], scale)
        ours = entries[OURS].times if OURS in entries else None
        for entry in entries.values():
            if ours is not None and entry.times is not None:
                entry.ratio = entry.times.over(ours)
        return list(entries.values())

    def verify(
        self,
        prepare: dict[str, Any],
        reference: Arrays,
        *,
        tolerance: float,
        measure: Measure = difference,
    ) -> list[Entry]:
        """Compare each contender's results with the reference. Nothing is timed."""
        entries = (
            self._verify(contender, prepare, reference, tolerance, measure)
            for contender in self.contenders
        )
        return [entry for entry in entries if entry is not None]

    def alone(self, contender: Contender, request: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """The reply of a new process that answers this alone, and when it was started, on
        CLOCK_MONOTONIC, which all processes share. Raises WorkerError."""
        start = time.clock_gettime(time.CLOCK_MONOTONIC)
        process = _Process(contender, self.threads)
        try:
            self.versions[contender.name] = process.version
            return process.ask(request), start
        finally:
            process.close()

    def _verify(
        self,
        contender: Contender,
        prepare: dict[str, Any],
        reference: Arrays,
        tolerance: float,
        measure: Measure,
    ) -> Entry | None:
        """None where the contender has no such thing."""
        entry = Entry(contender.name)
        path = Path(self._folder.name) / f"{contender.name}.npz"
        try:
            process = self._processes.get(contender.name)
            if process is None:
                process = self._processes[contender.name] = _Process(contender, self.threads)
                self.versions[contender.name] = process.version
            reply = process.ask({"prepare": prepare, "results": str(path)})
            if reply.get("skipped"):
                return None
            with np.load(path) as arrays:
                entry.difference = measure(list(arrays.values()), reference)
            path.unlink()
        except WorkerError as error:
            self._fail(entry, str(error))
            return entry
        if not entry.difference <= tolerance:  # NaN is wrong
            apart = f"{entry.difference:.1e}, more than {tolerance:.1e}"
            entry.problem = f"WRONG: differs from the reference by {apart}"
        return entry

    def _sample(self, entry: Entry, amount: Any, samples: list[dict[str, Any]]) -> None:
        if self.threads > 1:
            time.sleep(PAUSE)
        try:
            samples.append(self._processes[entry.contender].ask({"sample": amount}))
        except WorkerError as error:
            self._fail(entry, str(error))

    def _fail(self, entry: Entry, message: str) -> None:
        """The process, dead or alive, is not used again: the next case starts another."""
        entry.problem = f"FAILED: {message}"
        process = self._processes.pop(entry.contender, None)
        if process is not None:
            process.close()


def _sum_up(entry: Entry, samples: Sequence[dict[str, Any]], scale: int) -> None:
    entry.times = Times(tuple(s["seconds"] / s["units"] * scale for s in samples))
    entry.faults = statistics.median(s["faults"] for s in samples)
    entry.rss = max(s["rss"] for s in samples)
