"""The curves of a training, its loss and error over the epochs, drawn by matplotlib."""

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

# The names of the dashed and the solid lines in the legend.
TRAIN, TEST = "train, while learning", "held out, after the epoch"

# The y axis is logarithmic if the largest value is at least this number times the smallest value.
_LOG_RATIO = 5.0

# The number of matplotlib's colours C0 to C9. If there are more runs than this, all runs get their
# colours from a colour map.
_COLOURS = 10


class LossCurve(NamedTuple):
    """The training loss, several points per epoch.

    Attributes
    ----------
    epochs : sequence of float
        The time of each point, in epochs. For example, 2.5 is the middle of the third epoch.
    losses : sequence of float
        The mean loss of the batches between the previous point and this point.
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
        The title above the curves. By default it is the name of the run, or empty if there are
        several runs.
    suffix : str
        The format, one of PLOT_FORMATS.

    Raises
    ------
    PlotError
        If matplotlib cannot draw.
    """
    # The legend of several runs is below the curves, so the figure must be higher.
    legend_lines = len(runs) + 1 if len(runs) > 1 else 0
    figure = new_figure(WIDTH, HEIGHT + 0.25 * legend_lines)
    draw_curves(figure, runs, title)
    return figure_bytes(figure, suffix)


def draw_curves(
    figure: Figure,
    runs: Mapping[str, Sequence[EpochEnd]],
    title: str = "",
    batches: LossCurve | None = None,
) -> None:
    """Draw loss and error of each run over the epochs. The figure is cleared first.

    A solid line shows the held-out images (validation or test set) after each epoch. A dashed line
    shows the training images, whose loss and error are computed during training. The legend has the
    last values.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure to draw into.
    runs : mapping of sequence of EpochEnd
        The epochs of each run, by its name.
    title : str
        The title above the curves. By default it is the name of the run, or empty if there are
        several runs.
    batches : LossCurve, optional
        The training loss of a single run, with several points per epoch. It replaces the dashed
        line of the loss, which has one point per epoch.

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
                axes.set(xlim=(0, 2), xticks=[1])  # otherwise the ticks would be fractions
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
    """Draw one run. Return its line for the legend.

    It is the line of the held-out loss or, if there is none, the line of the training loss.
    """
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
    """Make the y axis logarithmic if the values are positive and far apart.

    Otherwise the axis begins at 0.
    """
    values = [float(y) for line in axes.lines for y in line.get_ydata() if math.isfinite(y)]
    if not values or min(values) <= 0 or max(values) < _LOG_RATIO * min(values):
        # The factor leaves room for the legend above the highest point.
        axes.set_ylim(0, 1.3 * max(values) if values and max(values) > 0 else None)
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _name_lines(axes: Any, unit: str) -> None:
    """Add a legend that names each line of a panel with its last value."""
    lines = [line for line in reversed(axes.lines) if len(line.get_ydata())]
    texts = [f"{line.get_label()}: {unit.format(line.get_ydata()[-1])}" for line in lines]
    if lines:
        _legend(axes, lines, texts)


def _name_runs(
    figure: Figure, runs: Mapping[str, Sequence[EpochEnd]], lines: Sequence[Line2D]
) -> None:
    """Add a legend that names each run with its last values. Below the panels, it hides no line."""
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
    """Shorten a text to its last `most` letters. The end of a path tells more than its start."""
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
    """Add a legend. Its texts are set afterwards, because matplotlib omits names like "_name"."""
    legend = owner.legend(handles, ["x"] * len(texts), **options)
    for shown, text in zip(legend.get_texts(), texts, strict=True):
        shown.set_text(text)
