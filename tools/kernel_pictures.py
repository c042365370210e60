"""Pictures of docs/small_kernels.md: how a vector computes pooling, and the passes of softmax."""

from __future__ import annotations

import numpy as np
from byhand import kernels
from numpy.typing import NDArray
from svg import Drawing

SIDE = 34  # of the square that shows one value

# Two rows of a plane, and four windows of 2 x 2. The third window has its maximum twice.
PLANE = np.array([[1, 5, 2, 0, 3, 3, 7, 1], [4, 2, 8, 6, 3, 2, 0, 9]], np.float32)
TAPS = ((0, 0), (0, 1), (1, 0), (1, 1))


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
    """Draw max pooling with windows of 2 x 2: every tap of four windows is one vector."""
    d = Drawing(800, 306, "Max pooling: four windows in four lanes")
    maxima, places = (
        result.ravel() for result in kernels.max_pool2d(PLANE[np.newaxis, np.newaxis], 2)
    )
    d.text(24, 34, "two rows of the plane", "", "start")
    for row, values in enumerate(PLANE.tolist()):
        for column, value in enumerate(values):
            is_largest = row * 8 + column in places
            x = 24 + SIDE * column + 10 * (column // 2)
            _cell(d, x, 50 + SIDE * row, f"{value:g}", "best" if is_largest else "frame")
    for window in range(4):
        d.text(24 + 78 * window + 33, 138, f"window {window}", "faint")
    words = (
        "Each window has a lane of its own.",
        "Filled on the left: the largest values.",
        "Filled on the right: this tap is larger",
        "than the largest value so far.",
    )
    for line, text in enumerate(words):
        d.text(24, 188 + 20 * line, text, "faint", "start")
    value = np.full(4, -np.inf, np.float32)
    d.text(456, 34, "one tap of each window", "", "start")
    d.text(640, 34, "largest so far", "", "start")
    for step, (u, v) in enumerate(TAPS):
        y = 50 + (SIDE + 6) * step
        tap = PLANE[u, v::2]
        better = tap > value
        value = np.maximum(tap, value)
        d.text(446, y + 21, f"row {u}, column {v}", "faint", "end")
        _lanes(d, 456, y, tap, better)
        d.line([(600, y + 16), (630, y + 16)])
        _lanes(d, 640, y, value, np.zeros(4, bool))
    y = 50 + (SIDE + 6) * 4 + 6
    for name, result in (("output", maxima), ("index", places)):
        d.text(630, y + 21, name, "mono", "end")
        _lanes(d, 640, y, result, np.zeros(4, bool))
        y += SIDE + 4
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
