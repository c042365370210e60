"""The incomplete file of a fetch that is going on or was interrupted."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

_CHUNK = 1 << 20


class Part:
    """The first bytes of a file, kept as `.NAME.0.part` in the folder of the file.

    If a fetch fails or is killed, the part stays, and the next fetch appends to it. A process locks
    the part that it writes. A second process that fetches the same file at the same time writes
    `.NAME.1.part`, a third `.NAME.2.part`, and so on.

    Parameters
    ----------
    folder : Path
        The folder of the file.
    name : str
        The name of the complete file.

    Attributes
    ----------
    size : int
        The number of bytes in the part.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._target = folder / name
        self._path, self._file = next(
            (path, file)
            for number in itertools.count()
            for path in [folder / f".{name}.{number}.part"]
            if (file := _open_locked(path)) is not None
        )
        self.size, self._sha256 = 0, hashlib.sha256()
        while chunk := self._file.read(_CHUNK):
            self._count(chunk)

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Parameters
        ----------
        chunk : bytes
        """
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._count(chunk)

    def _count(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._sha256.update(chunk)

    def sha256(self) -> str:
        """Return the SHA-256 of the bytes in the part, in hexadecimal."""
        return self._sha256.hexdigest()

    def clear(self) -> None:
        """Remove all bytes."""
        self._file.truncate(0)
        self.size, self._sha256 = 0, hashlib.sha256()

    def finish(self) -> None:
        """Rename the part, which must be complete, to the name of the file."""
        os.fsync(self._file.fileno())
        os.replace(self._path, self._target)

    def close(self) -> None:
        """Unlock the part, so that another fetch may continue it. An empty part is removed."""
        if not self._file.closed:
            if self.size == 0:
                self._path.unlink(missing_ok=True)
            self._file.close()


def remove_parts(folder: Path, names: Iterable[str]) -> None:
    """Remove the parts of files, except those that a process is writing now.

    Parameters
    ----------
    folder : Path
        The folder of the files.
    names : iterable of str
        The names of the complete files.
    """
    for name in names:
        for path in folder.glob(f".{name}.*.part"):
            file = _open_locked(path)
            if file is not None:
                path.unlink(missing_ok=True)
                file.close()


def _open_locked(path: Path) -> FileIO | None:
    """Open and lock a file, to read from its start and to append.

    Return None if another process has the lock, or if it has just renamed or removed the file.
    """
    file = FileIO(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644), "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        pass  # a file system without locks
    # Between `os.open` and `flock`, the process that had the lock may have renamed or removed the
    # file. Then `path` is another file or none, and this lock does not protect it.
    if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
        file.close()
        return None
    return file
