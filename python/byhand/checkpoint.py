"""Files: written whole or not at all, read with every byte checked; and what a run folder holds.

A checkpoint is a safetensors file. Its `__metadata__` has the description under "byhand", as JSON,
and under "byhand.crc32" the CRC-32 of that text and of all tensors' names and bytes, so that a
damaged file is noticed; a file without that sum, say one made by another program, is read too.
"""

from __future__ import annotations

import json
import os
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand.engine import Array

FORMAT = 1
_DESCRIPTION = "byhand"
_CHECKSUM = "byhand.crc32"


class CheckpointError(ValueError):
    """A file that is not the checkpoint it should be: damaged, of another kind or version."""


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all: temporary name, fsync, rename, fsync of the folder.

    Raises OSError of the system's kind with the path; what was there before stays, nothing else
    remains.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise OSError(error.errno, f"could not write: {error.strerror}", str(path)) from error


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Array], description: Mapping[str, Any]
) -> None:
    """Write a checkpoint of float32 arrays and a JSON-able description; errors of write_atomic."""
    from safetensors.numpy import save  # not on the way of `import byhand`

    text = json.dumps(description, allow_nan=False)
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    metadata = {_DESCRIPTION: text, _CHECKSUM: _checksum(text, whole)}
    write_atomic(path, save(whole, metadata))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The tensors and the description of a checkpoint.

    Takes no more memory than the file's size. Raises FileNotFoundError or another OSError where it
    cannot be read, CheckpointError with the path where it is not a whole checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    with open(path, "rb"):
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
    if metadata.get(_CHECKSUM, _checksum(text, tensors)) != _checksum(text, tensors):
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
        value = zlib.crc32(tensors[name].tobytes(), zlib.crc32(name.encode(), value))
    return f"{value:08x}"


class RunFolder:
    """The files of one training run; see `Trainer` for when they are written."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config_path = self.path / "config.json"
        self.metrics_path = self.path / "metrics.jsonl"
        self.model_path = self.path / "model.safetensors"
        self.best_path = self.path / "best.safetensors"
        self.state_path = self.path / "state.safetensors"

    def begin(self, config: Mapping[str, Any]) -> None:
        """Make the folder and write config.json.

        Raises FileExistsError where it already holds a trained run, OSError where it is not
        writable.
        """
        if self.state_path.exists() or self.model_path.exists():
            raise FileExistsError(
                f"{self.path} already holds a trained run: choose another folder or remove it"
            )
        text = json.dumps(config, indent=2, allow_nan=False) + "\n"
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomic(self.config_path, text.encode())

    def write_metrics(self, epochs: list[dict[str, Any]]) -> None:
        """Write metrics.jsonl: one JSON object a line, one line an epoch."""
        lines = (json.dumps(epoch, allow_nan=False) + "\n" for epoch in epochs)
        write_atomic(self.metrics_path, "".join(lines).encode())

    def read_config(self) -> dict[str, Any]:
        """config.json; FileNotFoundError, or CheckpointError with the path."""
        return _parse(self.config_path, self.config_path.read_bytes())

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; FileNotFoundError, or CheckpointError with the path."""
        lines = self.metrics_path.read_bytes().splitlines()
        return [_parse(self.metrics_path, line) for line in lines]


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged: {type(value).__name__} instead of an object")
    return value
