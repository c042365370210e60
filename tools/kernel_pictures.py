"""Pictures of docs/small_kernels.md: how a vector computes pooling, and the passes of softmax."""

from __future__ import annotations

import numpy as np
from byhand import kernels
from numpy.typing import NDArray
from svg import Drawing

SIDE = 34  # of the square that shows one value

# Two rows of a plane, and four windows of 2 x 2. The third window has its maximum twice.
PLANE = np.array([[1, 5, 2, 0, 3, 3, 7, 1], [4, 2, 8, 6, 3, 2, 0, 9]], np.float32)


def _cell(drawing: Drawing, x: float, y: float, text: str, style: str = "frame") -> None:
    drawing.bar(x, y, SIDE - 2, SIDE - 2, style)
    drawing.text(x + SIDE / 2 - 1, y + SIDE / 2 + 4, text, "bold" if style == "best" else "")


def _lanes(
    drawing: Drawing, x: float, y: float, values: NDArray[np.generic], marked: NDArray[np.bool_]
) -> None:
    """Draw one vector: a square per lane. Marked lanes are filled."""
    for lane, (value, mark) in enumerate(zip(values.tolist(), marked.tolist(), strict=True)):
        _cell(drawing, x + SIDE * lane, y, f"{value:g}", "best" if mark else "frame")


def draw_pooling() -> bytes:
    """Draw max pooling with windows of 2 x 2: first the columns, then the windows."""
    d = Drawing(800, 318, "Max pooling in two passes")
    column_best = PLANE.argmax(axis=0)
    values, places = PLANE.max(axis=0), 8 * column_best + np.arange(8)
    maxima, indices = (
        result.ravel() for result in kernels.max_pool2d(PLANE[np.newaxis, np.newaxis], 2)
    )
    none = np.zeros(8, bool)
    d.text(130, 45, "plane", "mono", "end")
    for row in range(2):
        _lanes(d, 140, 24 + SIDE * row, PLANE[row], column_best == row)
    d.line([(276, 98), (276, 126)])
    first = "first pass: the larger value of each column, and its position"
    d.text(296, 117, first, "faint", "start")
    d.text(130, 157, "values", "mono", "end")
    _lanes(d, 140, 136, values, np.isin(places, indices))
    d.text(130, 157 + SIDE, "places", "mono", "end")
    _lanes(d, 140, 136 + SIDE, places, none)
    d.line([(276, 210), (276, 238)])
    d.text(296, 229, "second pass: the larger value of columns 0, 2, 4, 6 and", "faint", "start")
    d.text(296, 247, "columns 1, 3, 5, 7. Each window has a lane of its own.", "faint", "start")
    for row, (name, result) in enumerate((("output", maxima), ("index", indices))):
        d.text(130, 270 + SIDE * row - 3, name, "mono", "end")
        _lanes(d, 140, 246 + SIDE * row, result, none[:4])
    return d.svg()


SCORES = np.array([[2.0, 0.5, 3.0, 4.5, 1.0, 4.0, -0.5, 1.5, 2.5, 0.0]], np.float32)


def _bars(drawing: Drawing, x: float, values: NDArray[np.floating], unit: float, best: int) -> None:
    """Draw ten values as bars above a line, or below it if they are negative."""
    ground = 150
    for i, value in enumerate(values.tolist()):
        height = abs(value) * unit
        top = ground - height if value >= 0 else ground
        style = "best" if i == best else "rest"
        drawing.bar(x + 20 * i, top, 14, max(1.0, height), style)
        drawing.text(x + 20 * i + 7, 180, str(i), "faint")
    drawing.line([(x - 4, ground), (x + 198, ground)], "frame")


def draw_softmax_passes() -> bytes:
    """Draw the three passes of softmax over a row of ten scores."""
    d = Drawing(760, 226, "Softmax in three passes")
    row = SCORES[0]
    exponentials = np.exp(row - row.max())
    best = int(row.argmax())
    passes = (
        ("1. the largest score", f"max = {row.max():g}", row, 18.0),
        ("2. exp(x - max), and the sum", f"sum = {exponentials.sum():.3f}", exponentials, 100.0),
        (
            "3. divide by the sum",
            "ten probabilities, whose sum is 1",
            kernels.softmax(SCORES)[0],
            100.0,
        ),
    )
    for i, (title, result, values, unit) in enumerate(passes):
        x = 24 + 252 * i
        d.text(x, 34, title, "bold", "start")
        _bars(d, x, values, unit, best)
        d.text(x, 208, result, "faint", "start")
    return d.svg()
