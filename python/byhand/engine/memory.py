"""Memory for the arrays of a batch.

A plan has one block of memory for the arrays of its calls, the arena. If a layer is called by
itself, as in `layer.forward(x)`, it gets fresh arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from byhand import kernels

Shape = tuple[int, ...]
Array = NDArray[np.float32]

# Buffers start on cache lines of 64 bytes, which are 16 floats.
ALIGNMENT = 16


class Buffer(NamedTuple):
    """The shape and the dtype of an array for one image. It holds no memory.

    Both dtypes are four bytes wide, so that all buffers fit into one arena.

    Attributes
    ----------
    shape : tuple of int
        The shape for one image, without the batch axis.
    dtype : type
        numpy.float32 or numpy.int32.
    """

    shape: Shape
    dtype: type[np.float32] | type[np.int32] = np.float32

    @property
    def size(self) -> int:
        """The number of values for one image."""
        return math.prod(self.shape)


class Memory:
    """Fresh arrays for a batch.

    Parameters
    ----------
    n : int
        The number of images in the batch.
    """

    def __init__(self, n: int) -> None:
        self.n = n

    def take(self, buffer: Buffer) -> NDArray[Any]:
        """Return an array. Its memory goes to no other buffer until `release`.

        Parameters
        ----------
        buffer : Buffer
            Its dtype and its shape for one image.

        Returns
        -------
        ndarray, shape (n, *buffer.shape)
            The array, not initialised.
        """
        return kernels.empty((self.n, *buffer.shape)).view(buffer.dtype)

    def release(self, *arrays: NDArray[Any]) -> None:
        """Allow later buffers to use the memory of these arrays.

        Parameters
        ----------
        *arrays : ndarray
            Arrays from `take` that nothing reads any more.
        """


class Arena(Memory):
    """One piece of memory for all batches of a plan.

    The buffers are taken once for a batch of no images. This dry run finds out which buffers may
    share a block of memory, and how large each block must be. Then `allocate` makes the memory.
    Every later batch takes the same buffers in the same order, and gets views of the same blocks.
    Smaller batches use only the beginning of each block.
    """

    def __init__(self) -> None:
        super().__init__(0)
        self._sizes: list[int] = []  # of each block, in floats per image
        self._blocks: list[Array] = []
        self._order: list[int] = []  # the block of each buffer, in the order of `take`
        self._free: list[int] = []
        self._next: int | None = None  # the number of the next buffer; None before `begin`

    def allocate(self, most: int, device: str) -> None:
        """Make the memory, after the dry run.

        Parameters
        ----------
        most : int
            The number of images in the largest batch.
        device : str
            The device to allocate on, as in `kernels.empty`.
        """
        offsets, size = aligned_offsets([most * block for block in self._sizes])
        memory = kernels.empty((size,), device)
        self._blocks = [memory[offset:] for offset in offsets]

    def begin(self, n: int) -> None:
        """Start to take the buffers again, from the first one, for another batch.

        Parameters
        ----------
        n : int
            The number of images in the batch, at most that of `allocate`.
        """
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
        """Choose the free block that must grow least. Make a new block if none is free.

        If several blocks must grow equally, the smallest of them is chosen.
        """
        if not self._free:
            self._sizes.append(size)
            self._blocks.append(kernels.empty((1,)))
            return len(self._sizes) - 1
        best = min(self._free, key=lambda b: (max(size - self._sizes[b], 0), self._sizes[b]))
        self._free.remove(best)
        self._sizes[best] = max(self._sizes[best], size)
        return best


def aligned_offsets(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Place arrays one after the other, each at the start of a cache line.

    Parameters
    ----------
    sizes : sequence of int
        The number of floats in each array.

    Returns
    -------
    offsets : list of int
        The offset of each array, in floats.
    size : int
        The number of floats for all arrays together.
    """
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return offsets, end
