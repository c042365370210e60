"""The most that these cores and their memory can do, for results to stand against."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from byhand._core import testing


def fma_peak(threads: int, seconds: float = 0.5) -> float:
    """FLOP/s of `threads` threads that do nothing but multiply-adds in registers, all at once.

    In byhand's instruction set of this run. Each thread counts its best millisecond or less.
    """
    return _together(threads, lambda: testing.fma_peak(seconds))


def memory_rate(threads: int, size: int, seconds: float = 0.05) -> float:
    """Bytes a second, read and written, of `threads` threads that share `size` bytes.

    Each adds an array of its own to another, again and again: what the cache that holds them gives,
    or the memory behind.
    """
    return _together(threads, lambda: testing.memory_rate(size // threads, seconds))


def _together(threads: int, rate: Callable[[], float]) -> float:
    together = threading.Barrier(threads)

    def one(_: int) -> float:
        together.wait()
        return rate()

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(one, range(threads)))
