"""Print which classes a model confuses, for `byhand evaluate`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size

from byhand.cli.display import percent
from byhand.cli.output import one_line, say

# A model with one output may answer any number. If the labels and the answers span more numbers
# than this, no table is printed.
_MOST_NUMBERS = 100

# The largest number of mistakes in the list of the most common ones.
_MOST_MISTAKES = 10

# The largest width of a class name in a table, in columns of the terminal.
_MOST_NAME = 30


def say_numbers(labels: NDArray[Any], predicted: NDArray[np.int64]) -> None:
    """Print the confusion matrix of a model with one output, if it is not too large.

    Parameters
    ----------
    labels : ndarray, shape (N,), integer
        The labels.
    predicted : ndarray, shape (N,), int64
        The nearest whole number of each output.
    """
    low = int(min(labels.min(), predicted.min()))
    high = int(max(labels.max(), predicted.max()))
    if high - low >= _MOST_NUMBERS:
        say(f"The numbers go from {low} to {high}: too many for a table of the mistakes.")
        return
    table = np.zeros((high - low + 1, high - low + 1), np.int64)
    np.add.at(table, (labels.astype(np.int64) - low, predicted - low), 1)
    say_confusion([str(i) for i in range(low, high + 1)], table)


def say_confusion(names: Sequence[str], table: NDArray[np.int64]) -> None:
    """Print a confusion matrix, or the most common mistakes if the matrix is too wide.

    Parameters
    ----------
    names : sequence of str
        The name of each class.
    table : ndarray, shape (classes, classes), int64
        The confusion matrix, as in `Evaluation.confusion`: the number of images of each actual
        class (row) that the model takes for each class (column).
    """
    names = [table_name(name) for name in names]
    size = len(names)
    columns = shutil.get_terminal_size().columns
    numbered = [f"{name}  {k}" for k, name in enumerate(names)]
    numbers = [str(k) for k in range(size)]
    if (lines := _square(table, names, names))[0] <= columns:
        say("Rows: the actual class; columns: what the model takes it for.")
    elif (lines := _square(table, numbered, numbers))[0] <= columns:
        say("Rows: the actual class; columns: the number of the class that the model takes it for.")
    else:
        lines = _list(table, names)
    for line in lines[1]:
        say(line)


def _square(
    table: NDArray[np.int64], rows: Sequence[str], columns: Sequence[str]
) -> tuple[int, list[str]]:
    """Return the width and the lines of a table with a row and a column for each class."""
    width = max(len(str(table.max())), *map(cell_len, columns))
    first = max(len("actual"), *map(cell_len, rows))
    titles = " ".join(right_aligned(c, width) for c in columns)
    lines = [f"{'actual':>{first}}  {titles}  accuracy"]
    for name, row, right in zip(rows, table, table.diagonal(), strict=True):
        cells = " ".join(f"{count or '.':>{width}}" for count in row)
        lines.append(f"{right_aligned(name, first)}  {cells}  {_share(right, row):>8}")
    return max(map(cell_len, lines)), lines


def _list(table: NDArray[np.int64], names: Sequence[str]) -> tuple[int, list[str]]:
    """Return 0 and the lines of a list of the classes and of the most common mistakes.

    The 0 replaces the width that `_square` returns. The caller does not compare it with the width
    of the terminal, because it prints the list at any width.
    """
    first = max(len("actual"), *map(cell_len, names))
    lines = [f"{'actual':>{first}}  accuracy  images"]
    for name, row, right in zip(names, table, table.diagonal(), strict=True):
        name = right_aligned(name, first)
        lines.append(f"{name}  {_share(right, row):>8}  {row.sum():>6,}")
    wrong = table - np.diag(table.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_MISTAKES]
    pairs = [divmod(int(k), len(names)) for k in order if wrong.flat[k]]
    if pairs:
        lines += ["", "The commonest mistakes:"]
    lines += [f"{wrong[a, b]:>6,} x {names[a]}, taken for {names[b]}" for a, b in pairs]
    return 0, lines


def table_name(name: str) -> str:
    """Return the name of a class as a table shows it: in one line, and cut if it is long.

    Parameters
    ----------
    name : str
        The name.
    """
    name = one_line(name)
    if cell_len(name) <= _MOST_NAME:
        return name
    return f"{set_cell_size(name, _MOST_NAME - 3)}..."


def right_aligned(text: str, width: int) -> str:
    """Return the text with spaces before it, so that it has a given width.

    A Chinese or Japanese character is as wide as two Latin letters.

    Parameters
    ----------
    text : str
        The text.
    width : int
        The width in columns of the terminal.
    """
    return " " * (width - cell_len(text)) + text


def _share(right: int, row: NDArray[np.int64]) -> str:
    return percent(right / row.sum()) if row.sum() else "-"
