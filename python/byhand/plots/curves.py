"""Curves of training: loss and error over the epochs, drawn by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from byhand.plots.figure import drawing, figure_bytes, new_figure

# isort: split
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from byhand.training import EpochEnd

# The size of the figure in inches.
WIDTH, HEIGHT = 9.0, 4.0

TRAIN, TEST = "train, while learning", "held out, after the epoch"

# A logarithmic axis is used if the largest value is at least this many times the smallest.
_WIDE = 5.0

# matplotlib has ten colours. If there are more runs, they get shades of a colour map.
_COLOURS = 10


class LossCurve(NamedTuple):
    """The training loss, several points per epoch.

    Attributes
    ----------
    epochs : sequence of float
        The time of each point, in epochs.
    losses : sequence of float
        The mean loss since the point before.
    """

    epochs: Sequence[float]
    losses: Sequence[float]


def curves_bytes(
    runs: Mapping[str, Sequence[EpochEnd]], title: str = "", suffix: str = ".png"
) -> bytes:
    """Return the picture of `draw_curves` as the content of a file.

    Parameters
    ----------
    runs : mapping of sequence of EpochEnd
        The epochs of each run, by its name.
    title : str
        The title above the curves. By default it is the name of the run, if there is only one.
    suffix : str
        The format, one of PLOT_FORMATS.

    Raises
    ------
    PlotError
        If matplotlib cannot draw.
    """
    legend = len(runs) + 1 if len(runs) > 1 else 0  # lines of it below the curves
    figure = new_figure(WIDTH, HEIGHT + 0.25 * legend)
    draw_curves(figure, runs, title)
    return figure_bytes(figure, suffix)


def draw_curves(
    figure: Figure,
    runs: Mapping[str, Sequence[EpochEnd]],
    title: str = "",
    batches: LossCurve | None = None,
) -> None:
    """Draw loss and error of each run over the epochs. What the figure showed before is removed.

    Solid lines are the held-out images (validation or test set) after each epoch. Dashed lines are
    the training images, measured during training. The legend gives the last values.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    runs : mapping of sequence of EpochEnd
        The epochs of each run, by its name.
    title : str
        The title above the curves. By default it is the name of the run, if there is only one.
    batches : LossCurve, optional
        Drawn instead of the dashed loss of a single run.

    Raises
    ------
    PlotError
        If matplotlib cannot draw.
    """
    with drawing():
        figure.clear()
        single = len(runs) == 1
        figure.suptitle(_end_of(title or (next(iter(runs)) if single else ""), 90))
        panels = figure.subplots(1, 2)
        lines = [
            _draw_run(panels, history, colour, batches, faint=not single)
            for history, colour in zip(runs.values(), _colours(len(runs)), strict=True)
        ]
        for axes, name in zip(panels, ("loss", "error in %"), strict=True):
            axes.set_xlabel("epoch")
            axes.set_ylabel(name)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            _scale(axes)
        if max((len(history) for history in runs.values()), default=0) == 1 and batches is None:
            for axes in panels:
                axes.set(xlim=(0, 2), xticks=[1])  # around one point ticks would be fractions
        if not single:
            _name_runs(figure, runs, lines)
        else:
            for axes, unit in zip(panels, ("{:.4f}", "{:.2f} %"), strict=True):
                _name_lines(axes, unit)


def _draw_run(
    panels: Sequence[Any],
    history: Sequence[EpochEnd],
    colour: Any,
    batches: LossCurve | None,
    faint: bool,
) -> Line2D:
    """Draw one run and return its line for the legend: the held-out loss if there is one."""
    loss, error = panels
    epochs = [end.epoch for end in history]
    trained = {"color": colour, "ls": "--", "label": TRAIN, "alpha": 0.35 if faint else 0.8}
    losses = LossCurve(epochs, [end.loss for end in history]) if batches is None else batches
    marker = "." if batches is None else ""
    line: Line2D = loss.plot(*losses, marker=marker, **trained)[0]
    error.plot(epochs, [100 * end.error for end in history], marker=".", **trained)
    tested = [
        (end.epoch, end.validation_loss, 100 * (1 - end.validation_accuracy))
        for end in history
        if end.validation_loss is not None and end.validation_accuracy is not None
    ]
    if not tested:
        return line
    at, test_losses, errors = zip(*tested, strict=True)
    solid = {"color": colour, "marker": "o", "markersize": 4, "label": TEST}
    line = loss.plot(at, test_losses, **solid)[0]
    error.plot(at, errors, **solid)
    return line


def _colours(count: int) -> list[Any]:
    if count <= _COLOURS:
        return [f"C{i}" for i in range(count)]
    return [colormaps["turbo"](i / (count - 1)) for i in range(count)]


def _scale(axes: Any) -> None:
    """Make the axis logarithmic, or let it begin at 0 if the values are close or reach 0."""
    values = [float(y) for line in axes.lines for y in line.get_ydata() if math.isfinite(y)]
    if not values or min(values) <= 0 or max(values) < _WIDE * min(values):
        # Room for the legend above the highest point.
        axes.set_ylim(0, 1.3 * max(values) if values and max(values) > 0 else None)
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _name_lines(axes: Any, unit: str) -> None:
    lines = [line for line in reversed(axes.lines) if len(line.get_ydata())]
    texts = [f"{line.get_label()}: {unit.format(line.get_ydata()[-1])}" for line in lines]
    if lines:
        _legend(axes, lines, texts)


def _name_runs(
    figure: Figure, runs: Mapping[str, Sequence[EpochEnd]], lines: Sequence[Line2D]
) -> None:
    """Name each run with its last values below both panels, where the legend hides no line."""
    styles = (
        Line2D([], [], color="0.3", marker="o", markersize=4),
        Line2D([], [], color="0.6", ls="--"),
    )
    texts = [f"{_end_of(name, 60)}: {_last_values(history)}" for name, history in runs.items()]
    _legend(
        figure,
        [*lines, *styles],
        [*texts, TEST, TRAIN],
        loc="outside lower center",
    )


def _end_of(text: str, most: int) -> str:
    """Return at most `most` letters: the end of a path tells more than its start."""
    return text if len(text) <= most else f"...{text[-most:]}"


def _last_values(history: Sequence[EpochEnd]) -> str:
    if not history:
        return "no epoch"
    end = history[-1]
    if end.validation_loss is None or end.validation_accuracy is None:
        return f"train loss {end.loss:.4f}, error {100 * end.error:.2f} %"
    error = 100 * (1 - end.validation_accuracy)
    return f"held-out loss {end.validation_loss:.4f}, error {error:.2f} %"


def _legend(owner: Any, handles: Sequence[Any], texts: Sequence[str], **options: Any) -> None:
    """Add a legend. matplotlib would leave out names that begin with _, so they are set later."""
    legend = owner.legend(handles, ["x"] * len(texts), **options)
    for shown, text in zip(legend.get_texts(), texts, strict=True):
        shown.set_text(text)
