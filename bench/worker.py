"""One contender in a process of its own, which answers requests: python -m byhand.bench.worker.

Requests come pickled on stdin, and each gets a pickled reply on stdout. The first request is the
contender and the number of threads; the reply is the version. Every other request is the name of a
method of `Worker` and its argument.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pickle
import sys
import time
import traceback
from collections import ChainMap
from typing import Any

import numpy as np
from byhand._core import testing
from byhand.bench import isa
from byhand.bench.cases import IN_PLACE, Case, Maker
from byhand.bench.inference import Inference
from byhand.bench.peers import Contender
from byhand.bench.sampling import Job, Sample, WorkerError, peak_rss, reset_peak_rss
from byhand.bench.tasks import Attempt, Course, Task
from numpy.typing import NDArray


class Worker:
    """A contender and its job."""

    def __init__(self, contender: Contender, threads: int) -> None:
        module = importlib.import_module(contender.module)
        self.peer = module.Peer(threads, **contender.options)
        self._job: Job | None = None

    def prepare(self, what: Any) -> list[NDArray[Any]] | None:
        """Make a job and return its results, or None if the contender does not support the case."""
        self._job = None  # frees its memory
        self._job = self._make(what)
        return None if self._job is None else [np.asarray(array) for array in self._job.results()]

    def sample(self, amount: Any) -> Sample:
        """Time the job."""
        assert self._job is not None
        return self._job.sample(amount)

    def memory(self, what: tuple[str, int, bool]) -> int | None:
        """Return how many bytes a call needs at its peak beside its arguments and results.

        `what` is the name of the case, the number of images, and whether to call the kernel for one
        image before, which loads its code. Returns None if the contender does not support the case.
        """
        name, batch, load = what
        if load:
            self.prepare((name, 1))
        self._job = None
        case = _case(name)
        ready = dataclasses.replace(case, makers=tuple(map(_always, case.arguments(batch))))
        before = reset_peak_rss()
        job = self.peer.kernel(ready, batch)
        if job is None:
            return None
        results = job.results()
        grown = peak_rss() - before
        new = () if case.op in IN_PLACE else results
        return max(0, grown - sum(np.asarray(array).nbytes for array in new))

    def learn(self, course: Course) -> tuple[list[float], list[float]]:
        """Return the accuracies after the epochs, and the times at which the epochs ended.

        The times are those of CLOCK_MONOTONIC, which all processes share.
        """
        ends: list[float] = []
        accuracies: list[float] = []

        def tell(accuracy: float) -> None:
            ends.append(time.clock_gettime(time.CLOCK_MONOTONIC))
            accuracies.append(accuracy)

        self.peer.learn(course, tell)
        return accuracies, ends

    def held(self, _: None) -> tuple[str, str | None, bool]:
        """Return the instruction sets that this process uses, for the tests of --isa.

        They are that of byhand, the core of OpenBLAS that the environment chooses, and whether
        NumPy uses AVX-512.
        """
        features = isa.numpy_umath().__cpu_features__
        used = features.get("X86_V4", features.get("AVX512F", False))
        return testing.isa(), os.environ.get("OPENBLAS_CORETYPE"), bool(used)

    def attempt(self, attempt: Attempt) -> tuple[float, float, float]:
        """Return the accuracy after training, and the times at which training began and ended.

        The times are those of CLOCK_MONOTONIC. They do not include reading the data and the
        evaluation.
        """
        marks: list[float] = []
        accuracy = self.peer.attempt(
            attempt, lambda: marks.append(time.clock_gettime(time.CLOCK_MONOTONIC))
        )
        begin, end = marks
        return accuracy, begin, end

    def has(self, name: str) -> bool:
        """Whether the contender has a method of this name."""
        return hasattr(self.peer, name)

    def _make(self, what: Any) -> Job | None:
        from byhand.bench import gemm  # `learn` does not need it, and counts the imports at the top

        job: Job | None
        match what:
            case Task():
                job = self.peer.training(what)
            case Inference():
                job = self.peer.inference(what)
            case gemm.Product():
                job = self.peer.kernel(what.case, 1)
            case _:
                name, batch = what
                job = self.peer.kernel(_case(name), batch)
        return job


def _always(argument: Any) -> Maker:
    return lambda rng, n: argument


def _case(name: str) -> Case:
    """Return the case of this name, of any benchmark."""
    from byhand.bench import cases, conv2d, gemm
    from byhand.bench.sweep import grids

    known = ChainMap(cases.CASES, gemm.CASES, conv2d.CASES)
    return known.get(name) or grids.cases()[name]


def main() -> None:
    # The output of libraries goes to stderr, because stdout is for replies.
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    worker = Worker(*pickle.load(requests))
    reply = worker.peer.version
    while True:
        pickle.dump(reply, replies)
        replies.flush()
        try:
            method, argument = pickle.load(requests)
        except EOFError:
            return
        try:
            reply = getattr(worker, method)(argument)
        except Exception as error:
            traceback.print_exc()
            reply = WorkerError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
