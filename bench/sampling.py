"""Measurements in the process of a contender: time, page faults, memory."""

from __future__ import annotations

import inspect
import re
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from byhand.bench.cases import IN_PLACE, Case
from numpy.typing import NDArray

# The least seconds of a loop of calls, so that the time of reading the clock is negligible.
LOOP = 1e-3


class WorkerError(Exception):
    """A contender raised an exception, or its process died."""


@dataclass(frozen=True)
class Sample:
    """A measurement: `units` calls or images took `seconds`.

    faults : minor page faults per call or training step.
    rss : largest memory that the process had, in bytes.
    """

    seconds: float
    units: int
    faults: float
    rss: int


class Clock:
    """Time and minor page faults between `start` and `stop`."""

    def start(self) -> None:
        self._faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        self._start = time.perf_counter()

    def stop(self, units: int, steps: int) -> Sample:
        seconds = time.perf_counter() - self._start
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - self._faults
        return Sample(seconds, units, faults / steps, peak_rss())


def peak_rss() -> int:
    """Return the largest memory that this process had, in bytes.

    On Linux, the result of getrusage is at least the peak of the parent process. So it is used only
    if /proc cannot be read.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def reset_peak_rss() -> int:
    """Set the peak of this process to the memory that it has now, and return it in bytes.

    Works on Linux alone.
    """
    Path("/proc/self/clear_refs").write_text("5")
    return peak_rss()


class Job(Protocol):
    """A job of a worker: it is verified, then timed."""

    def results(self) -> list[NDArray[Any]]:
        """Return the arrays that must agree with the reference."""

    def sample(self, amount: Any) -> Sample:
        """Time calls for `amount` seconds, or `amount` steps of training (None: an epoch)."""


class Calls:
    """A job that repeats one call."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def results(self) -> list[NDArray[Any]]:
        return [np.asarray(r) for r in _several(self._call())]

    def sample(self, amount: float) -> Sample:
        """Time loops of calls for `amount` seconds, and return the median loop."""
        calls = self._calls_per_loop()
        loops: list[float] = []
        clock = Clock()
        clock.start()
        end = time.perf_counter() + amount
        while not loops or time.perf_counter() < end:
            loops.append(self._loop(calls))
        whole = clock.stop(calls, calls * len(loops))
        return Sample(statistics.median(loops), calls, whole.faults, whole.rss)

    def _loop(self, calls: int) -> float:
        call = self._call
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start

    def _calls_per_loop(self) -> int:
        calls = 1
        while self._loop(calls) < LOOP:
            calls *= 2
        return calls


class KernelJob(Calls):
    """Calls of a kernel. If it takes `out`, all calls write into the same arrays."""

    def __init__(
        self,
        function: Callable[..., Any],
        case: Case,
        batch: int,
        put: Callable[[Any], Any] = lambda argument: argument,
    ) -> None:
        arguments = tuple(put(argument) for argument in case.arguments(batch))
        keywords: dict[str, Any] = dict(case.keywords)
        self._in_place = arguments if case.op in IN_PLACE else None
        if self._in_place is None and _takes_out(function):
            arrays = [r for r in _several(function(*arguments, **keywords)) if np.ndim(r) > 0]
            if arrays:
                keywords["out"] = arrays[0] if len(arrays) == 1 else tuple(arrays)
        super().__init__(partial(function, *arguments, **keywords))

    def results(self) -> list[NDArray[Any]]:
        results = super().results()
        return [np.asarray(r) for r in self._in_place] if self._in_place else results


def _several(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _takes_out(function: Callable[..., Any]) -> bool:
    """Whether a function takes `out`.

    A compiled function such as torch.mm has no signature. Those of the contenders take `out`.
    """
    try:
        return "out" in inspect.signature(function).parameters
    except ValueError:
        return True
