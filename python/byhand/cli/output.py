"""Print the output of a command: results on stdout, messages on stderr, an error as one line."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterator
from typing import NoReturn, TextIO

import typer

from byhand.cli.streams import exit_code
from byhand.cuda import DeviceError
from byhand.data import DataError
from byhand.export.errors import ExportError
from byhand.files.tensors import CheckpointError
from byhand.mpi import LaunchError, wait_for_first
from byhand.plots.formats import PlotError

# Control characters that change the writing direction of the text after them.
_DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


# The number of this process if it is one of several that train together. It is 0 otherwise.
_process = 0


def speak_as(process: int) -> None:
    """Print nothing but errors from now on, unless this is process 0.

    Parameters
    ----------
    process : int
        The number of this process among those that train together.
    """
    global _process
    _process = process


def one_line(text: str) -> str:
    r"""Return `text` with its control characters escaped, such as \x1b and \n.

    Such characters could move the cursor or change the state of the terminal.

    Parameters
    ----------
    text : str
        The text.
    """
    return "".join(
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in ("Cc", "Zl", "Zp") or c in _DIRECTIONS
        else c
        for c in text
    )


def say(text: str = "") -> None:
    r"""Print lines on stdout. Escape characters that the encoding of stdout lacks, as in \xe9.

    Parameters
    ----------
    text : str
        The lines.
    """
    if _process > 0:
        return
    encoding = sys.stdout.encoding or "utf-8"
    text = "\n".join(map(one_line, text.split("\n")))
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def say_field(name: str, text: str, width: int = 8) -> None:
    """Print a name and a text. On a terminal, wrap and indent a long text.

    Parameters
    ----------
    name : str
        The name.
    text : str
        The text.
    width : int
        The width of the column of names.
    """
    columns = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else sys.maxsize
    for line in textwrap.wrap(
        text,
        max(40, columns - 1),
        initial_indent=f"{name:{width}} ",
        subsequent_indent=" " * (width + 1),
        break_on_hyphens=False,
        break_long_words=False,
    ):
        say(line)


def warn(text: str) -> None:
    """Print lines on stderr. The first line begins with "byhand: ".

    Parameters
    ----------
    text : str
        The lines.
    """
    if _process == 0:
        _print_message(f"byhand: {text}")


def _print_message(text: str) -> None:
    print("\n".join(map(one_line, text.split("\n"))), file=sys.stderr)


def announce(text: str) -> None:
    """If stderr is a terminal, print a line on it that says which slow work begins now.

    Parameters
    ----------
    text : str
        The line.
    """
    if is_terminal(sys.stderr):
        warn(text)


def fail(text: str) -> NoReturn:
    """Print a line on stderr and end the command with exit code 1.

    If several processes train together, the line of a process other than 0 names the process. It is
    printed only if process 0 does not end all processes within a second, for the same reason.

    Parameters
    ----------
    text : str
        The line.

    Raises
    ------
    typer.Exit
        Always.
    """
    wait_for_first()
    _print_message(f"byhand, process {_process}: {text}" if _process > 0 else f"byhand: {text}")
    raise typer.Exit(1)


def describe(error: BaseException) -> str:
    """Return the text of an exception, without its type and its error number.

    Parameters
    ----------
    error : BaseException
        The exception.
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}".removesuffix(": ")
    return str(error) or type(error).__name__


def is_terminal(stream: TextIO) -> bool:
    """Return true if a stream is a terminal that can show a progress bar.

    Parameters
    ----------
    stream : file
        The stream.
    """
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextlib.contextmanager
def errors_end_the_command() -> Iterator[None]:
    """Report errors that the user can correct as one line each, and end the command.

    The exit code is 1, or 128 + N after signal N. Other exceptions are bugs of byhand. They are not
    caught, so Python prints their traceback.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has closed the pipe; typer then ends without a message
    except KeyboardInterrupt as interruption:
        warn("interrupted")
        raise typer.Exit(exit_code(interruption)) from None
    except (
        OSError,
        DataError,
        DeviceError,
        CheckpointError,
        FloatingPointError,
        MemoryError,
        PlotError,
        ExportError,
        ImportError,
        LaunchError,
    ) as error:
        fail(describe(error))
