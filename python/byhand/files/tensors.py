"""Checkpoints: tensors with a description, in files of which every byte is checked.

A checkpoint is a safetensors file. Its `__metadata__` has the description under "byhand", as JSON,
and under "byhand.crc32" the CRC-32 of that text and of all tensors' names and bytes, so that a
damaged file is noticed; a file without that sum, say one made by another program, is read too.
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
    """A file that is not the checkpoint it should be: damaged, of another kind or version."""


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Array], description: Mapping[str, Any]
) -> None:
    """Write a checkpoint of float32 arrays and a JSON-able description; errors of write_atomic."""
    write_atomic(path, tensors_file(tensors, description))


def tensors_file(tensors: Mapping[str, Array], description: Mapping[str, Any]) -> bytes:
    """The content of a checkpoint: the same bytes for the same tensors and description."""
    from safetensors.numpy import save  # not on the way of `import byhand`

    text = json.dumps(description, allow_nan=False)
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    metadata = {_DESCRIPTION: text, _CHECKSUM: _checksum(text, whole)}
    return _sorted_metadata(save(whole, metadata))


def _sorted_metadata(content: bytes) -> bytes:
    """safetensors writes `__metadata__` in another order every time.

    A file is the header's length in 8 bytes, the header as JSON padded to a multiple of 8, and the
    tensors.
    """
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[begin:]


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The tensors and the description of a checkpoint.

    Takes no more memory than the file's size. Raises FileNotFoundError or another OSError where it
    cannot be read, CheckpointError with the path where it is not a whole checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    path = as_path("path", path)
    with open_file(path):
        pass  # the system's own error, with the path, where there is no such file
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
        raise CheckpointError(f"{path} has the format {version!r}; this version reads {FORMAT}")
    return tensors, description


def _checksum(text: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].data, zlib.crc32(name.encode(), value))
    return f"{value:08x}"
