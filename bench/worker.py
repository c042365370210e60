"""One contender in a process of its own: python -m byhand.bench.worker CONFIG.

CONFIG is JSON: the module with the `Peer`, the number of threads, options. Then each line on stdin
is a request in JSON, and each line on stdout its reply:

- {"prepare": case, "results": path} makes a job and saves its results
- {"sample": amount} times the job
- {"learn": course} trains and returns the accuracies
- {"has": name} returns whether the peer has a method of this name
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
import time
import traceback
from typing import Any

import numpy as np
from byhand.bench.inference import Inference
from byhand.bench.sampling import Job
from byhand.bench.tasks import Course, Task


class Worker:
    def __init__(self, config: dict[str, Any]) -> None:
        module = importlib.import_module(config["module"])
        self.peer = module.Peer(config["threads"], **config["options"])
        self._job: Job | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "sample" in request:
            assert self._job is not None
            return dataclasses.asdict(self._job.sample(request["sample"]))
        if "has" in request:
            return {"has": hasattr(self.peer, request["has"])}
        if "learn" in request:
            return self._learn(Course(**request["learn"]))
        self._job = None  # frees its memory
        self._job = self._prepare(request["prepare"])
        if self._job is None:
            return {"skipped": True}
        np.savez(request["results"], *self._job.results())
        return {}

    def _learn(self, course: Course) -> dict[str, Any]:
        """Return the accuracy and the end of each epoch, on the clock that all processes share."""
        ends: list[float] = []
        accuracies: list[float] = []

        def tell(accuracy: float) -> None:
            ends.append(time.clock_gettime(time.CLOCK_MONOTONIC))
            accuracies.append(accuracy)

        self.peer.learn(course, tell)
        return {"ends": ends, "accuracies": accuracies}

    def _prepare(self, what: dict[str, Any]) -> Job | None:
        # Not imported for `learn`, whose time begins with the process.
        from byhand.bench import cases, conv2d, gemm

        job: Job | None
        if "kernel" in what:
            known = cases.CASES | gemm.CASES | conv2d.CASES
            job = self.peer.kernel(known[what["kernel"]], what["batch"])
        elif "product" in what:
            job = self.peer.kernel(gemm.Product(**what["product"]).case, 1)
        elif "inference" in what:
            job = self.peer.inference(Inference(**what["inference"]))
        else:
            job = self.peer.training(Task(**what["task"]))
        return job


def main() -> None:
    # The output of libraries goes to stderr, because stdout is for replies.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker(json.loads(sys.argv[1]))
    print(json.dumps({"version": worker.peer.version}), file=replies)
    for line in sys.stdin:
        try:
            reply = worker.answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies)


if __name__ == "__main__":
    main()
