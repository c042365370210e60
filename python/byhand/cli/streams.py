"""Set up the standard streams and the signals of the command."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import sys
import warnings
from types import FrameType
from typing import Any, TextIO


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP has come. It ends the command as Ctrl-C does, with all cleanup."""

    signal: int

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


def prepare() -> None:
    """Make the standard streams safe to use, and make signals end the command with all cleanup."""
    _reopen_closed()
    # Characters that the encoding of the terminal lacks are shown escaped, such as \xe9.
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_StandardOutput(1, "w", closefd=False)),
        sys.stdout.encoding,
        errors="backslashreplace",
        line_buffering=sys.stdout.isatty(),
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # under nohup, SIGHUP stays ignored
            signal.signal(number, _terminate)
    warnings.showwarning = _show_warning


class _StandardOutput(io.FileIO):
    """The raw stream of standard output.

    If a write fails, the error gets the file name "standard output", because the system gives none.
    After such an error, the stream drops all bytes. Otherwise Python would report the same error
    again when it flushes its buffer at exit.
    """

    _has_failed = False

    def write(self, data: Any) -> int:
        if self._has_failed:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self._has_failed = True
            error.filename = "standard output"
            raise


# The numbers of the signals SIGTERM and SIGHUP that have come so far. They are stored because typer
# handles every KeyboardInterrupt as Ctrl-C and does not keep the number.
_received: list[int] = []


def exit_code(interruption: KeyboardInterrupt) -> int:
    """Return the exit code of the signal that interrupted the command.

    Parameters
    ----------
    interruption : KeyboardInterrupt
        The exception that the signal raised.
    """
    return 128 + int(getattr(interruption, "signal", signal.SIGINT))


def corrected(code: str | int | None) -> str | int | None:
    """Correct the exit code of typer. After any signal, typer exits with the code of Ctrl-C.

    Parameters
    ----------
    code : str, int or None
        The exit code of typer.

    Returns
    -------
    str, int or None
        128 + N if typer ended as after Ctrl-C, but signal N came. Otherwise the result is `code`.
    """
    return 128 + _received[-1] if code == 128 + signal.SIGINT and _received else code


def _reopen_closed() -> None:
    """Open the standard streams that a shell has closed, for example with `2>&-`.

    Otherwise the next file that the command opens would get the number of the closed stream, and
    messages would be written into this file. If stderr is closed, messages go to stdout.
    """
    if _is_closed(0, sys.stdin):
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    lost = _is_closed(1, sys.stdout)
    if lost:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    if _is_closed(2, sys.stderr):
        os.dup2(1, 2)
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    if lost:
        print("byhand: standard output is closed: results are not shown", file=sys.stderr)


def _is_closed(number: int, stream: TextIO | None) -> bool:
    try:
        mode = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError:
        return True
    # If a shell script starts with a closed stream, the shell may open the script itself under the
    # number of this stream. The stream is then open, but for reading only.
    return stream is None or (number > 0 and mode == os.O_RDONLY)


def _terminate(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise Terminated(number)


def _show_warning(message: Warning | str, *where: object, **options: object) -> None:
    print(f"byhand: {message}", file=sys.stderr)
