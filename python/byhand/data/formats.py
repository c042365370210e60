"""MNIST in other forms: Keras's mnist.npz and the Paddle tutorial's mnist.json.gz.

Both readers take the bytes of the file and return (x_train, y_train, x_test, y_test) as uint8. The
memory that they allocate is limited in proportion to the size of the file.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from byhand.checks import channels_last

from .dataset import DataError
from .idx import DEFLATE_LIMIT, is_gzip

Bytes = NDArray[np.uint8]
Arrays = tuple[Bytes, Bytes, Bytes, Bytes]

_CHUNK = 1 << 18
# The largest number of indices that lead to a number in mnist.json.gz. For a pixel, they are 0 (the
# outermost list), the set, 0 (images), the image and the pixel.
_DEEPEST = 5
# The longest list of numbers, in characters. It is enough for the labels of a million images.
_LONGEST_LIST = 1 << 22

# The errors of the standard library for malformed bytes. All bytes are in memory, so no OSError
# comes from a disk. A KeyError means that a member is missing, a RuntimeError that it is encrypted
# or uses a feature that zipfile does not have.
_FORMAT_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError)
_MALFORMED = (*_FORMAT_ERRORS, OSError, ValueError, KeyError, RuntimeError)


def read_npz(content: Bytes, path: Path) -> Arrays:
    """Read an .npz file of Keras's form: arrays x_train, y_train, x_test and y_test.

    Parameters
    ----------
    content : ndarray, shape (bytes,), uint8
        The bytes of the file. All arrays hold integers from 0 to 255, of any integer type. Images
        have the shape (N, H, W), (N, C, H, W) or, usual in Keras, (N, H, W, C) with C from 1 to 4.
        Labels have the shape (N,).
    path : Path
        The path of the file, for error messages.

    Returns
    -------
    tuple of ndarray, uint8
        x_train, y_train, x_test and y_test. Images have the shape (N, H, W) or (N, C, H, W).

    Raises
    ------
    DataError
        If the file is malformed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content.data)) as archive:
            x_train, y_train, x_test, y_test = (
                _read_member(archive, name, content.size)
                for name in ("x_train", "y_train", "x_test", "y_test")
            )
            x_train, x_test = _channels_first(x_train), _channels_first(x_test)
            return _bytes(x_train), _bytes(y_train), _bytes(x_test), _bytes(y_test)
    except _MALFORMED as error:
        raise DataError(f"{path}: {error}") from error


def _channels_first(images: NDArray[Any]) -> NDArray[Any]:
    if not channels_last(images.shape):
        return images
    return images[..., 0] if images.shape[3] == 1 else images.transpose(0, 3, 1, 2)


def _read_member(archive: zipfile.ZipFile, name: str, limit: int) -> NDArray[Any]:
    """Read one array of an .npz archive.

    Before the array is allocated, the function checks two things: the size in the array's header
    equals the size in the directory of the archive, and an archive of `limit` bytes can hold an
    array of this size.
    """
    info = archive.getinfo(f"{name}.npy")
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    if not deflated and info.compress_type != zipfile.ZIP_STORED:
        raise DataError(f"{name} is neither stored nor deflated")
    largest = info.compress_size * (DEFLATE_LIMIT if deflated else 1)
    if info.compress_size > limit or info.file_size > largest:
        raise DataError(f"{name} claims {info.file_size:,} bytes, more than the file can hold")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(member)
        size = member.tell() + math.prod(shape) * dtype.itemsize
    if dtype.kind not in "iu":
        raise DataError(f"{name} must hold integers, not {dtype}")
    if min(shape, default=0) < 0 or size != info.file_size:
        raise DataError(
            f"{name} of shape {shape} and {dtype} takes {size:,} bytes, "
            f"but there are {info.file_size:,}"
        )
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def read_json(content: Bytes, path: Path) -> Arrays:
    """Read a JSON file of the form [train, validation, test], where each set is [images, labels].

    An image is a list of H * H floats in [0, 1], row by row. Each float is k / 255 or k / 256 and
    becomes the byte k again. (It is k / 256 in the pickled MNIST that this form comes from:
    lisa-lab/pylearn2 issue 93.) The training and the validation images together are the training
    set. As Python objects, the JSON text of MNIST would take about 2 GB. Therefore the function
    reads one image at a time and turns it into bytes.

    Parameters
    ----------
    content : ndarray, shape (bytes,), uint8
        The bytes of the file, plain or gzipped.
    path : Path
        The path of the file, for error messages.

    Returns
    -------
    tuple of ndarray, uint8
        x_train, y_train, x_test and y_test.

    Raises
    ------
    DataError
        If the file is malformed.
    """
    pixels = [bytearray() for _ in range(3)]
    labels: dict[int, Bytes] = {}
    width = 0
    try:
        packed = io.BytesIO(content.data)
        stream = gzip.GzipFile(fileobj=packed) if is_gzip(content) else packed
        with io.TextIOWrapper(stream, encoding="ascii") as text:
            for place, values in _number_lists(text):
                match place:
                    case (0, (0 | 1 | 2) as split, 0, _):
                        row = _unscale(values)
                        width = width or row.size
                        if row.size != width:
                            raise DataError(
                                f"images must have the same size, not {width} and then {row.size} "
                                "pixels"
                            )
                        pixels[split] += row.data
                    case (0, (0 | 1 | 2) as split, 1):
                        labels[split] = _bytes(values)
                    case (0, 0 | 1 | 2, 0) if values.size == 0:
                        pass  # a set without images
                    case _:
                        raise DataError(
                            f"numbers at {place}, where neither images nor labels of one of the 3 "
                            "sets can be"
                        )
        side = math.isqrt(width)
        if len(labels) != 3 or side * side != width:
            raise DataError(
                f"there must be 3 sets of square images, not {len(labels)} sets of images with "
                f"{width} pixels"
            )
        images = [np.frombuffer(part, np.uint8).reshape(-1, side, side) for part in pixels]
    except _MALFORMED as error:
        raise DataError(f"{path}: {error}") from error
    x_train = np.concatenate((images[0], images[1]))
    y_train = np.concatenate((labels[0], labels[1]))
    return x_train, y_train, images[2], labels[2]


def _number_lists(text: IO[str]) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """Yield each list of numbers in nested JSON lists, with its place: the index at each depth.

    For example, "[[[0.5, 1], [0]], [7]]" yields (0, 0, 0) with [0.5, 1], then (0, 0, 1) with [0],
    then (0, 1) with [7]. The first index is always 0, the index of the outermost list.
    """
    place, innermost, pending = [0], False, ""
    while chunk := text.read(_CHUNK):
        *tokens, pending = re.split(r"([\[\]])", pending + chunk)
        if len(pending) > _LONGEST_LIST:
            raise DataError(f"a list longer than {_LONGEST_LIST:,} characters")
        for before, bracket in zip(tokens[::2], tokens[1::2], strict=True):
            if bracket == "]" and innermost:
                values = np.array(json.loads(f"[{before}]"))
                if values.dtype.kind not in "iuf":
                    raise DataError(f"a list that is not of numbers: [{before[:40]}...")
                yield tuple(place[:-1]), values
            elif before.strip() not in ("", ","):
                raise DataError(f"{before[:40]!r} where a list is expected")
            innermost = bracket == "["
            if innermost:
                place.append(0)
            else:
                place.pop()
                if place:
                    place[-1] += 1
            if not 1 <= len(place) <= _DEEPEST:
                raise DataError("lists that are nested in another way than those of mnist.json.gz")
    if len(place) != 1 or pending.strip():
        raise DataError("the JSON text ends early or goes on after its end")


def _unscale(values: NDArray[Any]) -> Bytes:
    """Return the bytes k from which the values k / 255 or k / 256 were computed."""
    if np.all((values >= 0) & (values <= 1)):
        for scale in (255, 256):
            pixels = np.rint(values * scale)
            # A float32 that was written in decimal is off by up to 3e-8. A value of one scale and a
            # different value of the other scale differ by at least 1 / (255 * 256) = 1.5e-5.
            # The tolerance of 1e-6 lies between these two numbers.
            if np.all((np.abs(pixels / scale - values) <= 1e-6) & (pixels <= 255)):
                exact: Bytes = pixels.astype(np.uint8)
                return exact
    raise DataError("an image whose values are not whole steps of 1/255 or 1/256 in [0, 1]")


def _bytes(values: NDArray[Any]) -> Bytes:
    """Convert integers from 0 to 255 to uint8. Raise DataError for other values."""
    if values.size == 0:
        return values.astype(np.uint8)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
        raise DataError(
            f"numbers must be integers from 0 to 255, not {values.dtype} from {values.min()} to "
            f"{values.max()}"
        )
    return np.ascontiguousarray(values, np.uint8)
