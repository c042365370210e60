"""The CUDA operators on the emulator, called from Python with ctypes."""

from __future__ import annotations

import ctypes
import functools
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from byhand.simt.program import compile_library

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"


class Matrix(ctypes.Structure):
    """ops::Matrix: an address of the device, the shape, and the strides in elements."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("rows", "columns", "row_stride", "column_stride")),
    )


@functools.cache
def library() -> ctypes.CDLL:
    """Return the operators, compiled against the emulator, or a library of the same sources."""
    files = [*sorted((CSRC / "cuda").glob("*.cu")), ROOT / "tests" / "cuda" / "abi.cu"]
    everything = [
        *CSRC.glob("cuda/*"),
        *CSRC.glob("simt/**/*.*"),
        *CSRC.glob("ops/*"),
        *CSRC.glob("core/*"),
        *(ROOT / "python" / "byhand" / "simt").glob("*.py"),
    ]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in [*sorted(everything), files[-1]]))
    path = Path(platformdirs.user_cache_dir("byhand")) / "simt" / f"cuda-{key.hexdigest()[:16]}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        compile_library(files, path, [CSRC])
    found = ctypes.CDLL(str(path))
    found.device_allocate.restype = ctypes.c_void_p
    return found


class Device:
    """Arrays of the device, which are freed at the end of a `with` block."""

    def __init__(self) -> None:
        self.addresses: list[int] = []

    def empty(self, count: int, itemsize: int = 4) -> int:
        """Return the address of `count` elements that nobody has written."""
        address = library().device_allocate(ctypes.c_size_t(count * itemsize)) or 0
        self.addresses.append(address)
        return address

    def put(self, array: np.ndarray[Any, Any]) -> int:
        """Return the address of a contiguous copy of an array."""
        array = np.ascontiguousarray(array)
        address = self.empty(array.size, array.itemsize)
        pointer = array.ctypes.data_as(ctypes.c_void_p)
        library().to_device(ctypes.c_void_p(address), pointer, ctypes.c_size_t(array.nbytes))
        return address

    def get(self, address: int, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        """Return a copy of an array of the device."""
        array = np.empty(shape, dtype)
        pointer = array.ctypes.data_as(ctypes.c_void_p)
        library().to_host(pointer, ctypes.c_void_p(address), ctypes.c_size_t(array.nbytes))
        return array

    def matrix(self, array: np.ndarray[Any, Any]) -> Matrix:
        """Return a matrix on the device with the shape and the strides of an array."""
        base = array if array.base is None else array.base
        assert base.flags.c_contiguous
        offset = array.ctypes.data - base.ctypes.data
        strides = (stride // array.itemsize for stride in array.strides)
        return Matrix(self.put(base) + offset, *array.shape, *strides)


@contextmanager
def device() -> Iterator[Device]:
    """Make arrays on the device, and free them at the end."""
    memory = Device()
    try:
        yield memory
    finally:
        for address in filter(None, memory.addresses):
            library().device_free(ctypes.c_void_p(address))


@contextmanager
def most_blocks(count: int) -> Iterator[None]:
    """Launch at most `count` blocks, so that each of them takes several parts of the work."""
    library().set_most_blocks(ctypes.c_int64(count))
    try:
        yield
    finally:
        library().set_most_blocks(ctypes.c_int64(4096))


def call(name: str, *arguments: Any) -> None:
    """Call an operator, for which an int is an address. Its exception becomes a RuntimeError."""
    function = getattr(library(), name)
    function.restype = ctypes.c_char_p
    converted = [
        ctypes.c_float(a)
        if isinstance(a, float)
        else ctypes.byref(a)
        if isinstance(a, ctypes.Structure)
        else ctypes.c_void_p(a)
        if isinstance(a, int) and not isinstance(a, bool)
        else a
        for a in arguments
    ]
    message = function(*converted)
    if message is not None:
        raise RuntimeError(message.decode())
