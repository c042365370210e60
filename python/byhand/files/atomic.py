"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from byhand.checks import as_path

_TEMPORARY = ".tmp"
_NO_FILE = "it is a device, a pipe or a socket, not a file"


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading. Refuse pipes, devices and sockets.

    The reason: a read from a pipe might wait forever, and a read from a device might never end.

    Parameters
    ----------
    path : pathlib.Path
        The path of the file.

    Returns
    -------
    BinaryIO
        The open file.

    Raises
    ------
    OSError
        If the file cannot be read, or is a pipe, a device or a socket. The error names the path.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, _NO_FILE, str(path))
    return open(path, "rb")


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all.

    The data are written to a temporary file in the same folder, flushed to the disk, and renamed to
    the final name. If the write fails, the old file stays as it was, and the temporary file is
    removed. If `path` is a symbolic link, the file that it points to is replaced, and the link
    stays.

    Parameters
    ----------
    path : str or os.PathLike
        The path of the file.
    data : bytes
        The content of the file.

    Raises
    ------
    OSError
        If the file cannot be written, or `path` is a folder, a device, a pipe or a socket.
        The error has the path, the error number of the system, and the subclass of OSError that
        belongs to this number.
    """
    write_together({as_path("path", path): data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write several files, each whole or not at all, as `write_atomic` does.

    First all temporary files are written. Then they are renamed in the given order. Therefore, if
    the last file is new, all files are new. If a KeyboardInterrupt comes between two renames, the
    remaining files are renamed first, and then the exception is raised.

    Parameters
    ----------
    files : mapping of pathlib.Path to bytes
        The content of each file.

    Raises
    ------
    OSError
        As in `write_atomic`.
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
        reason = error.strerror
        folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
        if isinstance(error, FileNotFoundError) and not folder.exists():
            reason = f"the folder {folder} does not exist; create it first"
        raise OSError(error.errno, f"could not write: {reason}", str(path)) from error


def _target(path: Path) -> Path:
    """Follow symbolic links, and check that the result is a regular file or does not exist.

    Without this check, the rename would replace a device, a pipe or a socket with a file.
    """
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


# The errors that fsync raises on file systems that cannot sync a folder, or cannot sync at all,
# such as network folders. They are ignored, because the write itself has succeeded.
_CANNOT_SYNC = {
    getattr(errno, name)
    for name in ("EINVAL", "EBADF", "EISDIR", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EACCES", "EPERM")
}


@contextlib.contextmanager
def _if_possible() -> Iterator[None]:
    """Ignore the error of a file system that cannot sync, inside a with statement."""
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def remove_temporaries(path: Path) -> None:
    """Remove temporary files that killed processes left behind when they wrote a certain file.

    Parameters
    ----------
    path : pathlib.Path
        The path of the file. Its name may be a pattern for several files, such as *.safetensors.
    """
    target = Path(os.path.realpath(path))
    for temporary in target.parent.glob(f".{target.name}.*{_TEMPORARY}"):
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[int]:
    """Open a folder for a with statement.

    Parameters
    ----------
    folder : pathlib.Path
        The path of the folder.

    Yields
    ------
    int
        A file descriptor of the folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
