"""IDX, the format of the four MNIST files, raw or gzipped.

    bytes 0-1   zero
    byte  2     type of the elements: 0x08 is uint8, the only one accepted here
    byte  3     number of dimensions d
    4 d bytes   the dimensions, unsigned 32-bit, big-endian
    the rest    the elements, the last dimension varying fastest, and nothing after them

The header decides how much is read, never how much is allocated: a file that lies about its size
costs no more memory than the file that it is.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError

# Deflate codes at most 258 bytes in two bits: 1 byte becomes at most 1032.
DEFLATE_LIMIT = 1032

_UINT8 = 0x08
_CHUNK = 1 << 18


def parse_idx(content: NDArray[np.uint8], ndim: int, path: Path) -> NDArray[np.uint8]:
    """The array of an IDX file's bytes: a view of `content`, of `ndim` dimensions.

    `content` is inflated first where `path` ends in .gz. Raises DataError with the path.
    """
    if path.suffix == ".gz":
        content = _inflate(content, ndim, path)
    offset = _header_size(ndim)
    shape = _shape(content[:offset].tobytes(), ndim, path)
    expected = offset + math.prod(shape)
    if content.size != expected:
        actual = "more" if content.size > expected else f"{content.size:,}"
        raise DataError(f"{path}: shape {shape} makes {expected:,} bytes, but there are {actual}")
    return content[offset:].reshape(shape)


def _header_size(ndim: int) -> int:
    return 4 + 4 * ndim


def _shape(header: bytes, ndim: int, path: Path) -> tuple[int, ...]:
    if len(header) < _header_size(ndim):
        raise DataError(f"{path}: ends within the IDX header, after {len(header)} bytes")
    magic = bytes((0, 0, _UINT8, ndim))
    if header[:4] != magic:
        raise DataError(
            f"{path}: an IDX file of uint8 in {ndim} dimensions starts with {magic.hex()}, "
            f"this one with {header[:4].hex()}"
        )
    return struct.unpack(f">{ndim}I", header[4:])


def _inflate(content: NDArray[np.uint8], ndim: int, path: Path) -> NDArray[np.uint8]:
    """Unpack a gzipped IDX file, at most one byte more than its header promises."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content.data)) as stream:
            out = bytearray(stream.read(_header_size(ndim)))
            promised = len(out) + math.prod(_shape(bytes(out), ndim, path))
            if promised > DEFLATE_LIMIT * content.size:
                raise DataError(
                    f"{path}: the header promises {promised:,} bytes, "
                    f"more than {content.size:,} gzipped bytes can hold"
                )
            # The read past the promise tells trailing bytes from the end, where the CRC is checked.
            while chunk := stream.read(min(_CHUNK, promised + 1 - len(out))):
                out += chunk
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file: {error}") from error
    return np.frombuffer(out, np.uint8)
