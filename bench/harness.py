"""Runs each contender in a process of its own, verifies all of them and times them in turns."""

from __future__ import annotations

import math
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from byhand.bench import isa
from byhand.bench.peers import OURS, Contender
from byhand.bench.results import Entry, Times
from byhand.bench.sampling import Sample, WorkerError
from numpy.typing import NDArray

# Seconds between the turns of two contenders. The idle threads of a library spin for up to 20 ms or
# so after their last call, and would keep the processors busy in the next contender's turn.
PAUSE = 0.05
T = TypeVar("T")
Arrays = Sequence[NDArray[Any]]
# A function that returns the distance between a contender's arrays and the reference's.
Measure = Callable[[Arrays, Arrays], float]


def rotated(items: Sequence[T], first: int) -> list[T]:
    """Return the items in their order, beginning with the item number `first`, modulo their number.

    So each round, or each seed, begins with another contender.
    """
    at = first % len(items) if items else 0
    return [*items[at:], *items[:at]]


def difference(results: Arrays, reference: Arrays) -> float:
    """Return the largest |x - reference| / |reference| over the arrays, in the Euclidean norm.

    Only the arrays that the contender returns are compared, because PyTorch's cross entropy does
    not return its probabilities. The difference is infinite if a shape differs or a value is not
    finite.
    """
    worst = 0.0 if results else np.inf
    for got, want in zip(results, reference, strict=False):
        if got.shape != want.shape or not np.isfinite(got - want).all():
            return float(np.inf)
        error = np.linalg.norm((got - want).ravel())
        norm = np.linalg.norm(np.asarray(want, np.float64).ravel())
        worst = max(worst, float(error / norm) if norm > 0 else float(error))
    return worst


class _Process:
    """The process of a contender, which answers requests."""

    def __init__(self, contender: Contender, threads: int) -> None:
        # A user may have set these variables for other programs, and they slow OpenBLAS down.
        environment = {
            name: value
            for name, value in os.environ.items()
            if name != "OPENBLAS_L2_SIZE" and (name != "OPENBLAS_CORETYPE" or isa.held())
        }
        # The worker imports from the same folders, because a contender may be a file in tools/ or
        # tests/.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        for library in ("OMP", "OPENBLAS", "MKL", "BYHAND"):
            environment[f"{library}_NUM_THREADS"] = str(threads)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in close()
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "byhand.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
        )
        try:
            self.version: str = self.ask(contender, threads)
        except BaseException:
            self.close()
            raise

    def ask(self, *request: Any) -> Any:
        """Return the worker's reply. Raises WorkerError."""
        assert self._popen.stdin is not None and self._popen.stdout is not None
        try:
            pickle.dump(request, self._popen.stdin)
            self._popen.stdin.flush()
            reply = pickle.load(self._popen.stdout)
        except (BrokenPipeError, EOFError, pickle.UnpicklingError):
            code = self._popen.wait()
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines() or ["no message"]
            raise WorkerError(f"ended with code {code}: {said[-1]}") from None
        if isinstance(reply, WorkerError):
            raise reply
        return reply

    def close(self) -> None:
        self._popen.kill()
        self._popen.communicate()
        self._errors.close()


class Contest:
    """Contenders on one number of threads, each in a process of its own. Use it in `with`."""

    def __init__(self, contenders: Sequence[Contender], threads: int) -> None:
        self.threads = threads
        self.versions: dict[str, str] = {}
        self.contenders = contenders
        self._processes: dict[str, _Process] = {}

    def __enter__(self) -> Contest:
        return self

    def __exit__(self, *_: object) -> None:
        self.restart()

    def restart(self) -> None:
        """End all processes, so that the memory of the next case does not include this one's."""
        for process in self._processes.values():
            process.close()
        self._processes.clear()

    def run(
        self,
        what: Any,
        reference: Arrays,
        *,
        amount: Callable[[Contender], Any],
        rounds: int,
        tolerance: float,
        scale: int = 1,
        measure: Measure = difference,
        enough: float = math.inf,
    ) -> list[Entry]:
        """Verify all contenders, then time them in turns.

        Each contender has one turn in a round, and each round begins with another contender.

        Parameters
        ----------
        what : the case, in the form that `Worker.prepare` takes
        amount : function of a contender that returns the length of its turns, in the form that the
            `sample` of its job takes
        scale : number of calls or images whose time is returned
        enough : seconds after which a contender gets no more turns, summed over its turns
        """
        entries = self.verify(what, reference, tolerance=tolerance, measure=measure)
        # NumPy has computed the reference in this process, and its idle threads spin, too.
        time.sleep(PAUSE)
        right = [entry for entry in entries if entry.problem is None]
        amounts = {contender.name: amount(contender) for contender in self.contenders}
        samples: dict[str, list[Sample]] = {entry.contender: [] for entry in right}
        spent = dict.fromkeys(samples, 0.0)
        for i in range(rounds):
            for entry in rotated(right, i):
                name = entry.contender
                if entry.problem is None and spent[name] < enough:
                    start = time.perf_counter()
                    self._sample(entry, amounts[name], samples[name])
                    spent[name] += time.perf_counter() - start
        for entry in right:
            if entry.problem is None:
                _sum_up(entry, samples[entry.contender], scale)
        ours = next((entry.times for entry in right if entry.contender == OURS), None)
        for entry in right:
            if ours is not None and entry.times is not None:
                entry.ratio = entry.times.over(ours)
        return entries

    def verify(
        self,
        what: Any,
        reference: Arrays,
        *,
        tolerance: float,
        measure: Measure = difference,
    ) -> list[Entry]:
        """Compare each contender's results with the reference. Nothing is timed.

        A contender that does not support the case gets no entry.
        """
        entries = (
            self._verify(contender, what, reference, tolerance, measure)
            for contender in self.contenders
        )
        return [entry for entry in entries if entry is not None]

    def alone(self, contender: Contender, *request: Any) -> tuple[Any, float]:
        """Return the reply of a new process to this request, and the time at which it was started.

        The process answers only this request. The time is one of CLOCK_MONOTONIC, which all
        processes share. Raises WorkerError.
        """
        start = time.clock_gettime(time.CLOCK_MONOTONIC)
        process = _Process(contender, self.threads)
        try:
            self.versions[contender.name] = process.version
            return process.ask(*request), start
        finally:
            process.close()

    def _verify(
        self,
        contender: Contender,
        what: Any,
        reference: Arrays,
        tolerance: float,
        measure: Measure,
    ) -> Entry | None:
        """Return the entry of a contender, or None if it does not support the case."""
        entry = Entry(contender.name)
        try:
            process = self._processes.get(contender.name)
            if process is None:
                process = self._processes[contender.name] = _Process(contender, self.threads)
                self.versions[contender.name] = process.version
            arrays = process.ask("prepare", what)
        except WorkerError as error:
            self._fail(entry, str(error))
            return entry
        if arrays is None:
            return None
        entry.difference = measure(arrays, reference)
        if not entry.difference <= tolerance:  # also true for NaN
            apart = f"{entry.difference:.1e}, more than {tolerance:.1e}"
            entry.problem = f"WRONG: differs from the reference by {apart}"
        return entry

    def _sample(self, entry: Entry, amount: Any, samples: list[Sample]) -> None:
        if self.threads > 1:
            time.sleep(PAUSE)
        try:
            samples.append(self._processes[entry.contender].ask("sample", amount))
        except WorkerError as error:
            self._fail(entry, str(error))

    def _fail(self, entry: Entry, message: str) -> None:
        """Record a failure and end the process. The next case starts another process."""
        entry.problem = f"FAILED: {message}"
        process = self._processes.pop(entry.contender, None)
        if process is not None:
            process.close()


def _sum_up(entry: Entry, samples: Sequence[Sample], scale: int) -> None:
    entry.times = Times(tuple(s.seconds / s.units * scale for s in samples))
    entry.faults = statistics.median(s.faults for s in samples)
    entry.rss = max(s.rss for s in samples)
