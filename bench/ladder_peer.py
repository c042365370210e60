"""A compiled step of the ladder, as a contender."""

from __future__ import annotations

import byhand
from byhand.bench.cases import Case
from byhand.bench.ladder_steps import Library
from byhand.bench.sampling import KernelJob


class Peer:
    version = f"byhand {byhand.__version__}"

    def __init__(self, threads: int, library: str) -> None:
        self._library = Library(library, threads)

    def kernel(self, case: Case, batch: int) -> KernelJob:
        return KernelJob(getattr(self._library, case.op), case, batch)
