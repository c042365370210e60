"""IDX, the format of the four MNIST files, raw or gzipped.

    bytes 0-1   zero
    byte  2     type of the elements: 0x08 is uint8, the only type that data sets may have
    byte  3     number of dimensions d
    4 d bytes   the dimensions, unsigned 32-bit, big-endian
    the rest    the elements, the last dimension varying fastest, and nothing after them

Memory is allocated for the bytes that a file has, after unpacking if it is gzipped. A wrong header
that claims more bytes is an error and allocates nothing.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError

# Deflate, the compression of gzip, codes at most 258 bytes in two bits. Therefore one compressed
# byte becomes at most 4 * 258 = 1032 bytes.
DEFLATE_LIMIT = 1032

_UINT8 = 0x08
_CHUNK = 1 << 18


def parse_idx(content: NDArray[np.uint8], ndim: int, path: Path) -> NDArray[np.uint8]:
    """Parse the bytes of an IDX file.

    Parameters
    ----------
    content : ndarray, shape (bytes,), uint8
        The bytes of the file. If they are gzipped, they are unpacked first. The name of the file
        does not matter.
    ndim : int
        The number of dimensions that the file must have.
    path : Path
        The path of the file, for error messages.

    Returns
    -------
    ndarray, uint8, of `ndim` dimensions
        A view of `content`, or of the unpacked bytes.

    Raises
    ------
    DataError
        If the file is malformed.
    """
    if is_gzip(content):
        content = _inflate(content, ndim, path)
    offset = _header_size(ndim)
    shape = _shape(content[:offset].tobytes(), ndim, path)
    expected = offset + math.prod(shape)
    if content.size != expected:
        actual = "more" if content.size > expected else f"{content.size:,}"
        raise DataError(f"{path}: shape {shape} makes {expected:,} bytes, but there are {actual}")
    return content[offset:].reshape(shape)


def is_gzip(content: NDArray[np.uint8]) -> bool:
    """Return whether the bytes begin like a gzip file. No IDX or JSON file begins like that.

    Parameters
    ----------
    content : ndarray, shape (bytes,), uint8
    """
    return content[:2].tobytes() == b"\x1f\x8b"


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
            # Try to read one byte more than promised. If the file ends as promised, this read
            # reaches the end, where gzip checks the CRC. If it does not, `out` is one byte too
            # long, and the caller raises an error.
            while chunk := stream.read(min(_CHUNK, promised + 1 - len(out))):
                out += chunk
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file: {error}") from error
    return np.frombuffer(out, np.uint8)


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """Return an array as the bytes of an IDX file.

    Parameters
    ----------
    array : ndarray, uint8
        The array, of any shape.
    """
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, _UINT8, array.ndim, *array.shape) + (
        np.ascontiguousarray(array).tobytes()
    )


# The types that the third byte of an IDX file may name, and the size of an element in bytes.
_ELEMENTS = {
    0x08: ("unsigned byte", 1),
    0x09: ("signed byte", 1),
    0x0B: ("16-bit integer", 2),
    0x0C: ("32-bit integer", 4),
    0x0D: ("32-bit float", 4),
    0x0E: ("64-bit float", 8),
}
_MOST_DIMENSIONS = 16
_SHOWN = 16  # the number of bytes of the elements that are shown


def describe_idx(path: Path) -> list[tuple[str, str, str]]:
    """Describe an IDX file field by field. `byhand data describe` prints the result.

    Files of all element types are accepted. A file is unpacked if its content is gzipped, whatever
    its name is.

    Parameters
    ----------
    path : Path
        The path of the file.

    Returns
    -------
    list of tuple of str
        For each field: the positions of its bytes, their values in hexadecimal, and their meaning.

    Raises
    ------
    DataError
        If the file is not an IDX file, ends early, or has bytes after its end.
    """
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            stream = gzip.GzipFile(fileobj=file) if packed else file
            return _described(stream, path)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{path}: not a whole gzip file: {error}") from error


def _described(stream: BinaryIO | gzip.GzipFile, path: Path) -> list[tuple[str, str, str]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _ELEMENTS:
        raise DataError(
            f"{path}: not an IDX file: it starts with {magic.hex(' ') or 'nothing'}, but an IDX "
            "file starts with 00 00, a type from 08 to 0e and the number of dimensions"
        )
    kind, size = _ELEMENTS[magic[2]]
    ndim = magic[3]
    if not 1 <= ndim <= _MOST_DIMENSIONS:
        raise DataError(
            f"{path}: the number of dimensions must be from 1 to {_MOST_DIMENSIONS}, not {ndim}"
        )
    rows = [
        ("0-1", magic[:2].hex(" "), "always zero"),
        ("2", magic[2:3].hex(), f"type of the elements: {kind}"),
        ("3", magic[3:].hex(), f"number of dimensions: {ndim}"),
    ]
    shape = []
    for axis in range(ndim):
        field = stream.read(4)
        if len(field) < 4:
            raise DataError(f"{path}: ends within the IDX header")
        shape.append(int.from_bytes(field, "big"))
        what = "the number of items" if axis == 0 else f"dimension {axis + 1}"
        start = 4 + 4 * axis
        rows.append((f"{start}-{start + 3}", field.hex(" "), f"{what}: {shape[-1]:,}"))
    start, promised = 4 + 4 * ndim, math.prod(shape) * size
    first = stream.read(min(_SHOWN, promised))
    found = len(first)
    while chunk := stream.read(_CHUNK):
        found += len(chunk)
    if found != promised:
        raise DataError(
            f"{path}: the header promises {promised:,} bytes of elements, but there are {found:,}"
        )
    if promised:
        more = " ..." if promised > _SHOWN else ""
        order = "" if ndim == 1 else ", the last dimension varying fastest"
        what = f"{math.prod(shape):,} elements of {size} byte{'s' * (size > 1)}{order}"
        rows.append((f"{start}-{start + promised - 1}", first.hex(" ") + more, what))
    return rows
