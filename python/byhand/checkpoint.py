"""Files: written whole or not at all, read with every byte checked.

A checkpoint is a safetensors file. Its `__metadata__` has the description under "byhand", as JSON,
and under "byhand.crc32" the CRC-32 of that text and of all tensors' names and bytes, so that a
damaged file is noticed; a file without that sum, say one made by another program, is read too.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from byhand.engine import Array

FORMAT = 1
_DESCRIPTION = "byhand"
_CHECKSUM = "byhand.crc32"
_TEMPORARY = ".tmp"
_NO_FILE = "it is a device, a pipe or a socket, not a file"


class CheckpointError(ValueError):
    """A file that is not the checkpoint it should be: damaged, of another kind or version."""


def as_path(name: str, value: Any) -> Path:
    """Return `value` as a path, with ~ as the home folder.

    Raises TypeError, with the argument's name, if it is not a path.
    """
    try:
        return Path(os.path.expanduser(value))  # unlike Path.expanduser it never fails
    except TypeError:
        raise TypeError(f"{name} must be a str or a pathlib.Path, not {value!r}") from None


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading. The content of a pipe or a device may never come, or never end.

    Raises OSError with the path if it cannot be read, or is a pipe, a device or a socket.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, _NO_FILE, str(path))
    return open(path, "rb")


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all: temporary name, fsync, rename, fsync of the folder.

    A link is followed: the file that it names is replaced, and the link stays. If the write
    fails, the old file stays and nothing else remains.

    Raises
    ------
    OSError
        If the file cannot be written; the error has the class and the number that the system
        gave, and the path. Also if the path is a folder, a device, a pipe or a socket, because a
        rename would replace that with a file.
    """
    write_together({as_path("path", path): data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files as `write_atomic` writes one; none is renamed before all are written.

    The files are renamed in the order given. So if the last one is new, all of them are new.
    An interrupt (KeyboardInterrupt) between two renames takes effect after the last one.
    """
    renames: list[tuple[Path, Path]] = []
    path = Path()
    try:
        try:
            for path, data in files.items():
                target = _target(path)
                temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}{_TEMPORARY}")
                renames.append((temporary, target))
                with open(temporary, "xb") as file:
                    file.write(data)
                    file.flush()
                    with _if_possible():
                        os.fsync(file.fileno())
            try:
                _rename(renames)
            except KeyboardInterrupt:
                _rename([pair for pair in renames if pair[0].exists()])
                raise
        except BaseException:
            for temporary, _ in renames:
                temporary.unlink(missing_ok=True)
            raise
        for folder in {target.parent for _, target in renames}:
            with _if_possible(), opened(folder) as descriptor:
                os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, f"could not write: {error.strerror}", str(path)) from error


def _target(path: Path) -> Path:
    """The file that a rename may replace, links followed."""
    with contextlib.suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, _NO_FILE)
    return Path(os.path.realpath(path))


def _rename(pairs: Sequence[tuple[Path, Path]]) -> None:
    for temporary, target in pairs:
        os.replace(temporary, target)


# Errors of fsync on file systems that cannot sync a folder, or cannot sync at all, such as network
# and shared folders. The write has succeeded then, and is as durable as the file system makes it.
_CANNOT_SYNC = {
    getattr(errno, name)
    for name in ("EINVAL", "EBADF", "EISDIR", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EACCES", "EPERM")
}


@contextlib.contextmanager
def _if_possible() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def remove_temporaries(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote this file.

    The name of the file may be a pattern, such as *.safetensors.
    """
    target = Path(os.path.realpath(path))
    for temporary in target.parent.glob(f".{target.name}.*{_TEMPORARY}"):
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[int]:
    """A descriptor of a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


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
