"""Arrays between unreadable pages: a kernel that reads or writes past their edges crashes."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PAGE = mmap.PAGESIZE
PROT_NONE = 0
CANARY = 0xA5
_libc = ctypes.CDLL(None, use_errno=True)


def _forbid(address: int) -> None:
    if _libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(PAGE), PROT_NONE) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")


class Fence:
    """Places copies of arrays beside a page that can be neither read nor written.

    With the side "start", the first byte of a copy follows such a page directly. With "end", the
    last byte comes directly before one. `shift` moves the copy away from the page by that number of
    elements, which changes its alignment. `untouched` checks the bytes between them.
    """

    def __init__(self, side: str, shift: int = 0) -> None:
        self.side = side
        self.shift = shift
        self._spare: list[Array] = []

    def __call__(self, array: Array) -> Array:
        gap = self.shift * array.itemsize
        body = -(-max(array.nbytes + gap, 1) // PAGE) * PAGE
        memory = np.frombuffer(mmap.mmap(-1, body + 2 * PAGE), np.uint8)
        memory[:] = CANARY
        address = memory.ctypes.data
        first = PAGE + (gap if self.side == "start" else body - array.nbytes - gap)
        last = first + array.nbytes
        copy = memory[first:last].view(array.dtype).reshape(array.shape)
        copy[...] = array
        self._spare += [memory[PAGE:first], memory[last : PAGE + body]]
        _forbid(address)
        _forbid(address + PAGE + body)
        return copy

    def untouched(self) -> bool:
        """Return true if no byte beside the arrays was written."""
        return all(bool(np.all(spare == CANARY)) for spare in self._spare)
