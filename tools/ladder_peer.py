"""One step from three loops to `gemm` as a contender of ladder.py."""

from __future__ import annotations

from functools import partial

import byhand
from byhand._core import testing
from byhand.bench.cases import Case
from byhand.bench.sampling import KernelJob


class Peer:
    version = f"byhand {byhand.__version__}"

    def __init__(self, threads: int, step: str) -> None:
        byhand.set_num_threads(threads)
        self._step = step

    def kernel(self, case: Case, batch: int) -> KernelJob:
        """Return the job of a product. The step needs operands that are stored row by row."""
        return KernelJob(partial(testing.gemm_ladder, self._step), case, batch)
