"""Memory for the arrays of a batch.

A plan has one piece of memory for the arrays of all its calls, the `Arena`. A call of a single
layer by hand, `layer.forward(x)`, uses the class `Memory` instead, which makes new arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand._core import DeviceArray, asarray

Shape = tuple[int, ...]

# An array of NumPy, or a DeviceArray. This type is NumPy's, because the engine and the layers treat
# both in the same way: they pass them to kernels, take slices and change shapes.
Array = NDArray[np.float32]

# Every block and every parameter starts at a multiple of this number of floats: 16 floats are 64
# bytes, one cache line.
ALIGNMENT = 16


def device_of(array: Array | DeviceArray) -> str:
    """Return the name of the device that holds an array, such as "cpu".

    Parameters
    ----------
    array : ndarray or DeviceArray
        The array.
    """
    return array.device if isinstance(array, DeviceArray) else "cpu"


def is_array(value: Any) -> bool:
    """Return whether a value is an array of NumPy or a DeviceArray.

    Parameters
    ----------
    value : object
        Any value.
    """
    return isinstance(value, (np.ndarray, DeviceArray))


def assign(target: NDArray[Any], values: Any) -> None:
    """Copy the values of an array into another one, which may be on another device.

    Parameters
    ----------
    target : ndarray or DeviceArray
        The array to overwrite.
    values : ndarray or DeviceArray, shape and dtype of target
        The values to copy.
    """
    is_upload = isinstance(target, DeviceArray) and isinstance(values, np.ndarray)
    target[...] = values if is_upload else asarray(values, device_of(target))


def host_copy(array: NDArray[Any] | DeviceArray) -> NDArray[Any]:
    """Return a copy of an array in the memory of the CPU.

    Parameters
    ----------
    array : ndarray or DeviceArray
        The array.
    """
    return array.to("cpu") if isinstance(array, DeviceArray) else array.copy()


class Buffer(NamedTuple):
    """A request for an array: its shape for one image, and its dtype. It holds no memory.

    Both permitted dtypes have four bytes per value, so one arena can hold both.

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
    """A source of new arrays for one batch.

    Parameters
    ----------
    n : int
        The number of images in the batch.
    device : str
        The device to allocate on, as in `kernels.empty`.
    """

    def __init__(self, n: int, device: str = "cpu") -> None:
        self.n, self.device = n, device

    def take(self, buffer: Buffer) -> NDArray[Any]:
        """Return an array that shares memory with no other array until `release`.

        Parameters
        ----------
        buffer : Buffer
            The dtype of the array, and its shape for one image.

        Returns
        -------
        ndarray, shape (n, *buffer.shape)
            The array. Its values are undefined.
        """
        array: NDArray[Any] = kernels.empty((self.n, *buffer.shape), self.device)
        return array.view(buffer.dtype)

    def release(self, *arrays: NDArray[Any]) -> None:
        """Allow later calls of `take` to use the memory of these arrays.

        `Memory` itself does nothing here, because NumPy frees an array that nobody refers to.

        Parameters
        ----------
        *arrays : ndarray
            Arrays from `take` whose values nobody needs any more.
        """


class Arena(Memory):
    """One piece of memory, divided into blocks, that all batches of a plan use.

    The arena is used in three steps:

    1. A dry run with a batch of 0 images calls `take` and `release` for all buffers of the plan. It
       finds which buffers may use the same block one after the other, and how large each block is.
    2. `allocate` makes the memory.
    3. After `begin`, a batch calls `take` for the same buffers in the same order, and gets views of
       the blocks that the dry run chose. A small batch uses only the beginning of each block.
    """

    def __init__(self) -> None:
        super().__init__(0)
        self._sizes: list[int] = []  # the size of each block, in floats per image
        # In the dry run, each block is an array of one float, whose address identifies the block.
        self._blocks: list[Array] = []
        self._order: list[int] = []  # the block of each buffer, in the order of `take`
        self._free: list[int] = []  # the released blocks, used in the dry run only
        self._next: int | None = None  # the number of the next buffer; None in the dry run

    def allocate(self, most: int, device: str) -> None:
        """Allocate all blocks in one piece of memory, after the dry run.

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
        """Start again: the next call of `take` is for the first buffer of a new batch.

        Parameters
        ----------
        n : int
            The number of images in the new batch, at most the argument `most` of `allocate`.
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
            addresses = [block.ctypes.data for block in self._blocks]
            self._free += [addresses.index(array.ctypes.data) for array in arrays]

    def _find_block(self, size: int) -> int:
        """Choose a free block for a buffer of `size` floats per image, or make a new block.

        The method chooses the free block that must grow least. If several blocks need not grow, it
        chooses the smallest of them. For example, with free blocks of 10 and 50 floats, a buffer of
        8 floats gets the block of 10, and a buffer of 20 floats the block of 50.
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
