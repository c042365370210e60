"""The output of a command: results on stdout, all else on stderr, an error as one line."""

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
from byhand.data import DataError
from byhand.files.tensors import CheckpointError
from byhand.plots.formats import PlotError

# Characters that make a terminal write from right to left whatever follows them.
_DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def one_line(text: str) -> str:
    r"""Return `text` with its control characters escaped, such as \x1b and \n.

    They could move the cursor or change the terminal.
    """
    return "".join(
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in ("Cc", "Zl", "Zp") or c in _DIRECTIONS
        else c
        for c in text
    )


def say(text: str = "") -> None:
    r"""Print lines on stdout. Characters that its encoding lacks are written as \x... ."""
    encoding = sys.stdout.encoding or "utf-8"
    text = "\n".join(map(one_line, text.split("\n")))
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def say_field(name: str, text: str, width: int = 8) -> None:
    """Print a name, padded to `width`, and a text. On a terminal, wrap and indent a long text."""
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
    """Print lines on stderr, behind the name of the command."""
    print("\n".join(map(one_line, f"byhand: {text}".split("\n"))), file=sys.stderr)


def fail(text: str) -> NoReturn:
    """Print a line on stderr and end the command with exit code 1."""
    warn(text)
    raise typer.Exit(1)


def describe(error: BaseException) -> str:
    """Return the text of an exception, without its type and its error number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}".removesuffix(": ")
    return str(error) or type(error).__name__


def is_terminal(stream: TextIO) -> bool:
    """Whether the stream is a terminal that knows control codes, so that a bar can move on it."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextlib.contextmanager
def errors_end_the_command() -> Iterator[None]:
    """Report errors that users can correct in one line: exit code 1, or 128 + N after signal N.

    Other exceptions are faults of byhand: they keep their traceback.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of the pipe has closed it: typer ends quietly
    except KeyboardInterrupt as interruption:
        warn("interrupted")
        raise typer.Exit(exit_code(interruption)) from None
    except (
        OSError,
        DataError,
        CheckpointError,
        FloatingPointError,
        MemoryError,
        PlotError,
        ImportError,
    ) as error:
        fail(describe(error))
