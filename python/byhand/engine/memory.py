"""Where the arrays of a batch lie: fresh memory for a call by hand, one arena for a plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from byhand import kernels

Shape = tuple[int, ...]
Array = NDArray[np.float32]

# Buffers start on cache lines: 16 floats are 64 bytes.
ALIGNMENT = 16


class Buffer(NamedTuple):
    """A buffer of one image. Every dtype is four bytes wide, so that all fit into one arena."""

    shape: Shape
    dtype: type[np.float32] | type[np.int32] = np.float32

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Memory:
    """Fresh arrays for a batch of n images."""

    def __init__(self, n: int) -> None:
        self.n = n

    def take(self, buffer: Buffer) -> NDArray[Any]:
        """An array of the shape (n, *buffer.shape) that nothing else uses until it is released."""
        return kernels.empty((self.n, *buffer.shape)).view(buffer.dtype)

    def release(self, *arrays: NDArray[Any]) -> None:
        """Let later buffers lie where these arrays do, because nobody reads them any more."""


class Arena(Memory):
    """One piece of memory for all batches of a plan, from 0 to some number of images.

    The first time, buffers are taken for a batch of no images, which finds out how large each block
    must be and which buffers may share one. `allocate` then makes the memory. Every later batch
    takes the same buffers in the same order, and gets leading views of the same blocks.
    """

    def __init__(self) -> None:
        super().__init__(0)
        self._sizes: list[int] = []  # of each block, in floats per image
        self._blocks: list[Array] = []
        self._order: list[int] = []  # the block of each buffer, in the order of `take`
        self._free: list[int] = []
        self._next: int | None = None  # the number of the next buffer; None before `allocate`

    def allocate(self, most: int, device: str) -> None:
        """Make the memory for batches of up to `most` images."""
        offsets, size = aligned_offsets([most * block for block in self._sizes])
        memory = kernels.empty((size,), device)
        self._blocks = [memory[offset:] for offset in offsets]

    def begin(self, n: int) -> None:
        """Take the buffers again, from the first on, for a batch of n images."""
        self.n, self._next = n, 0

    def take(self, buffer: Buffer) -> NDArray[Any]:
        if self._next is None:
            self._order.append(self._find_block(buffer.size))
            block = self._order[-1]
        else:
            block = self._order[self._next]
            self._next += 1
        flat = self._blocks[block][: self.n * buffer.size]
        return flat.view(buffer.dtype).reshape((self.n, *buffer.shape))

    def release(self, *arrays: NDArray[Any]) -> None:
        if self._next is None:
            places = [block.ctypes.data for block in self._blocks]
            self._free += [places.index(array.ctypes.data) for array in arrays]

    def _find_block(self, size: int) -> int:
        """The free block that has to grow least and is the smallest of these, or a new one."""
        if not self._free:
            self._sizes.append(size)
            self._blocks.append(kernels.empty((1,)))
            return len(self._sizes) - 1
        best = min(self._free, key=lambda b: (max(size - self._sizes[b], 0), self._sizes[b]))
        self._free.remove(best)
        self._sizes[best] = max(self._sizes[best], size)
        return best


def aligned_offsets(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Offsets of arrays that lie one behind the other on cache lines, and where the last ends."""
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return offsets, end
