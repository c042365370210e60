"""The most that these cores can do, for results to stand against."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from byhand._core import testing


def fma_peak(threads: int, seconds: float = 0.5) -> float:
    """FLOP/s of `threads` threads that do nothing but multiply-adds in registers, all at once.

    In byhand's instruction set of this run. Each thread counts its best millisecond or less.
    """
    together = threading.Barrier(threads)

    def one(_: int) -> float:
        together.wait()
        return float(testing.fma_peak(seconds))

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(one, range(threads)))
