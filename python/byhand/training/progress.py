"""The progress of a training as text, which `Trainer` shows in terminals and notebooks."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from typing import Any, TextIO

from byhand.training.events import BatchEnd, EpochEnd, Event, TrainingStarted
from byhand.training.history import RunningMean, table_head, table_row

# The shortest time between two updates of the status line, in seconds.
_SECONDS = 0.2


def watched_stream() -> TextIO | None:
    """Return the output stream of a notebook or a terminal. None if this process has neither."""
    if in_notebook():
        return sys.stdout
    for stream in (sys.stderr, sys.stdout):
        with contextlib.suppress(AttributeError, ValueError):  # no stream, or a closed one
            if stream.isatty():
                return stream
    return None


def in_notebook() -> bool:
    """Return whether this process runs a notebook: whether IPython is imported and has a kernel."""
    ipython = sys.modules.get("IPython")
    get_shell: Any = getattr(ipython, "get_ipython", lambda: None)
    return hasattr(get_shell(), "kernel")


def open_progress(wanted: bool | None, *, moving: bool = True) -> Progress | None:
    """Return the handler that shows the progress of a training.

    Parameters
    ----------
    wanted : bool or None
        Whether to show the progress. None: only in a terminal or a notebook.
    moving : bool
        Whether a terminal or a notebook shows the status line.

    Returns
    -------
    Progress or None
        None if nothing is to be shown.
    """
    watched = None if wanted is False else watched_stream()
    if watched is not None:
        return Progress(watched, moving=moving)
    return Progress(sys.stderr, moving=False) if wanted else None


class Progress:
    """A handler that writes a line per epoch and, below it, a status line.

    The status line shows which part of the epoch is done, the mean loss and error of this part, and
    how long the rest of the epoch will take. If writing fails, nothing more is written and training
    continues.

    Parameters
    ----------
    stream : text stream
        The stream to write to.
    moving : bool
        Whether to show the status line, which is overwritten again and again. Set it to False if
        the stream is a file, because a file would keep every version of the line.
    """

    def __init__(self, stream: TextIO, *, moving: bool = True) -> None:
        self._stream: TextIO | None = stream
        self._moving = moving
        self._epochs = 0
        self._has_head = False
        self._new_epoch()

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrainingStarted):
            self._epochs, self._has_head = event.epochs, False
            self._new_epoch()
        elif isinstance(event, BatchEnd):
            self._mean.add(event)
            if self._moving and time.perf_counter() > self._last_update + _SECONDS:
                self._show(event)
        elif isinstance(event, EpochEnd):
            head = "" if self._has_head else f"{table_head([event])}\n"
            self._write(f"{self._blank()}{head}{table_row(event)}\n")
            self._has_head = True
            self._new_epoch()

    def close(self) -> None:
        """Remove the status line, so that an error message begins on a new line."""
        self._write(self._blank())
        self._width = 0

    def _new_epoch(self) -> None:
        self._mean = RunningMean()
        self._begin = self._last_update = time.perf_counter()
        self._width = 0

    def _show(self, event: BatchEnd) -> None:
        self._last_update = time.perf_counter()
        loss, error = self._mean.values()
        done = event.batch / event.batches
        seconds_left = (self._last_update - self._begin) / done * (1 - done)
        text = (
            f"epoch {event.epoch}/{self._epochs} {100 * done:3.0f} %  loss {loss:.4f}  "
            f"error {100 * error:.2f} %  {seconds_left:.0f} s left"
        )
        text = text[: shutil.get_terminal_size().columns - 1]
        self._write(f"\r{text:<{self._width}}")
        self._width = len(text)

    def _blank(self) -> str:
        return f"\r{'':{self._width}}\r" if self._width else ""

    def _write(self, text: str) -> None:
        if self._stream is None or not text:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone, or the stream was closed
            self._stream = None
