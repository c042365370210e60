"""The peaks of arithmetic and of memory that results are compared with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from byhand._core import testing


def fma_peak(threads: int, seconds: float = 0.5) -> float:
    """Return the FLOP/s of `threads` threads that do nothing but multiply-adds in registers.

    They run at the same time, in byhand's instruction set of this run. Each counts its best
    millisecond.
    """
    return _together(threads, lambda: testing.fma_peak(seconds))


def memory_rate(threads: int, size: int, seconds: float = 0.05) -> float:
    """Return the bytes per second, read and written, of `threads` threads that share `size` bytes.

    Each thread adds one array of its own to another, again and again. So it is the rate of the
    cache that holds them, or of the memory if none does.
    """
    return _together(threads, lambda: testing.memory_rate(size // threads, seconds))


def _together(threads: int, rate: Callable[[], float]) -> float:
    together = threading.Barrier(threads)

    def one(_: int) -> float:
        together.wait()
        return rate()

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(one, range(threads)))
