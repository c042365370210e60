"""The peaks of arithmetic and of memory that results are compared with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from byhand._core import testing


def fma_peak(threads: int, seconds: float = 0.5) -> float:
    """Return the FLOP/s of `threads` threads that do nothing but multiply-adds in registers.

    The threads run at the same time, in the instruction set that byhand uses in this process. The
    rate of a thread is the best one of many short runs.
    """
    return _together(threads, lambda: testing.fma_peak(seconds))


def memory_rate(threads: int, size: int, seconds: float = 0.05) -> float:
    """Return the bytes per second that `threads` threads read and write in `size` bytes.

    Each thread has an equal part of the bytes and repeatedly adds one array in it to another. So
    the result is the rate of the cache that holds the arrays, or of the memory if none does.
    """
    return _together(threads, lambda: testing.memory_rate(size // threads, seconds))


def _together(threads: int, rate: Callable[[], float]) -> float:
    together = threading.Barrier(threads)

    def one(_: int) -> float:
        together.wait()
        return rate()

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(one, range(threads)))
