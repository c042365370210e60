"""Checkpoints: safetensors files with tensors, a description and a checksum.

The `__metadata__` of the file has two entries. "byhand" is the description, as JSON. "byhand.crc32"
is the checksum: the CRC-32 of the description and of the names and bytes of all tensors. A file
with a description but no checksum is accepted, because another program may have written it.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand.checks import as_path
from byhand.files.atomic import open_file, write_atomic

Array = NDArray[np.float32]

FORMAT = 1
_DESCRIPTION = "byhand"
_CHECKSUM = "byhand.crc32"


class CheckpointError(ValueError):
    """The file is not a checkpoint of byhand: it is damaged, or of another kind or version."""


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Array], description: Mapping[str, Any]
) -> None:
    """Write a checkpoint, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        The path of the file.
    tensors : mapping of str to ndarray, float32
        The tensors by name.
    description : mapping of str to object
        The description. It must be possible to write it as JSON.

    Raises
    ------
    OSError
        If the file cannot be written. The error names the path.
    """
    write_atomic(path, tensors_file(tensors, description))


def tensors_file(tensors: Mapping[str, Array], description: Mapping[str, Any]) -> bytes:
    """Return the content of a checkpoint. Equal tensors and descriptions give equal bytes.

    Parameters
    ----------
    tensors : mapping of str to ndarray, float32
        The tensors by name.
    description : mapping of str to object
        The description. It must be possible to write it as JSON.
    """
    from safetensors.numpy import save  # imported late, so that `import byhand` stays fast

    text = json.dumps(description, allow_nan=False)
    # np.ascontiguousarray would give a scalar the shape (1,).
    whole = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    metadata = {_DESCRIPTION: text, _CHECKSUM: _checksum(text, whole)}
    return _sorted_metadata(save(whole, metadata))


def _sorted_metadata(content: bytes) -> bytes:
    """Sort the entries of `__metadata__`, because safetensors writes them in a random order.

    A safetensors file has three parts: the length of the header as 8 bytes, the header as JSON with
    spaces up to a multiple of 8 bytes, and the bytes of the tensors.
    """
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[begin:]


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a checkpoint. Reading takes no more memory than the size of the file.

    Parameters
    ----------
    path : str or os.PathLike
        The path of the file.

    Returns
    -------
    tensors : dict of str to ndarray
        The tensors by name.
    description : dict of str to object
        The description.

    Raises
    ------
    OSError
        If the file cannot be read. It is a FileNotFoundError if there is no such file.
    CheckpointError
        If the file is not a complete checkpoint. The error names the path.
    """
    from safetensors import SafetensorError, safe_open

    path = as_path("path", path)
    with open_file(path):
        pass  # if this fails, the user gets Python's own error, such as FileNotFoundError
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
    text = metadata.get(_DESCRIPTION)
    if text is None:
        raise CheckpointError(f"{path} was not written by byhand: it has no description")
    if _CHECKSUM in metadata and metadata[_CHECKSUM] != _checksum(text, tensors):
        raise CheckpointError(f"{path} is damaged: its checksum is wrong")
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its description is not JSON: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        version = description.get("format") if isinstance(description, dict) else None
        raise CheckpointError(
            f"{path} has the format {version!r}, but this version of byhand reads format {FORMAT}"
        )
    return tensors, description


def _checksum(text: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].data, zlib.crc32(name.encode(), value))
    return f"{value:08x}"
