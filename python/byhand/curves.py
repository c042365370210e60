"""Curves of training by matplotlib, which is imported here and not by the core.

No pyplot: no window, no global state.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from byhand.events import EpochEnd


class Batches(NamedTuple):
    """The cost of training: after how many epochs, and its mean since the point before."""

    epochs: Sequence[float]
    losses: Sequence[float]


def curves_png(runs: Mapping[str, Sequence[EpochEnd]], title: str = "") -> bytes:
    """`draw_curves` as the bytes of a PNG file."""
    figure = new_figure()
    if len(runs) > 1:
        figure.set_figheight(4 + 0.25 * len(runs))  # a line of the legend each
    draw_curves(figure, runs, title)
    return figure_png(figure)


def new_figure() -> Figure:
    return Figure(figsize=(9, 4), layout="constrained")


def draw_curves(
    figure: Figure,
    runs: Mapping[str, Sequence[EpochEnd]],
    title: str = "",
    batches: Batches | None = None,
) -> None:
    """Cost and error over the epochs of each run by its name, in place of what the figure shows.

    Lines: on the test images after each epoch. Dashed: on the training images as they were trained.
    batches: drawn in place of one run's dashed cost.
    """
    figure.clear()
    figure.suptitle(title)
    cost, error = figure.subplots(1, 2)
    for i, (name, history) in enumerate(runs.items()):
        colour, prefix = f"C{i % 10}", f"{name}, " if len(runs) > 1 else ""
        epochs = [end.epoch for end in history]
        trained = {"color": colour, "linestyle": "--", "label": f"{prefix}train, while learning"}
        if batches is None:
            cost.plot(epochs, [end.loss for end in history], marker=".", **trained)
        else:
            cost.plot(*batches, **trained)
        error.plot(epochs, [100 * end.error for end in history], marker=".", **trained)
        tested = [
            (end.epoch, end.validation_loss, 100 * (1 - end.validation_accuracy))
            for end in history
            if end.validation_loss is not None and end.validation_accuracy is not None
        ]
        if tested:
            at, losses, errors = zip(*tested, strict=True)
            label = f"{prefix}test, after the epoch"
            cost.plot(at, losses, "o-", color=colour, markersize=4, label=label)
            error.plot(at, errors, "o-", color=colour, markersize=4, label=label)
    for axes, name in ((cost, "cost"), (error, "error / %")):
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    if max((len(history) for history in runs.values()), default=0) == 1 and batches is None:
        for axes in (cost, error):
            axes.set(xlim=(0, 2), xticks=[1])  # around one point ticks would be fractions
    if len(runs) > 1:  # the same lines on both sides; over them it would hide some
        figure.legend(*cost.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    elif cost.lines:
        cost.legend()
        error.legend()


def figure_png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
