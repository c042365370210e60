"""Pictures by matplotlib, as the bytes of PNG files. No pyplot: no window, no global state."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from byhand.data import Dataset
from byhand.events import EpochEnd


def curves_png(history: Sequence[EpochEnd], title: str) -> bytes:
    """Cost and error over the epochs, on the training images as they were trained and on the test
    images after each epoch."""
    epochs = [e.epoch for e in history]
    panels = (
        ("cost (cross-entropy)", [e.loss for e in history], [e.validation_loss for e in history]),
        (
            "error / %",
            [100 * e.error for e in history],
            [None if (a := e.validation_accuracy) is None else 100 * (1 - a) for e in history],
        ),
    )
    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle(title)
    for axes, (name, train, test) in zip(figure.subplots(1, 2), panels, strict=True):
        axes.plot(epochs, train, "o-", markersize=4, label="train, while learning")
        if None not in test:
            axes.plot(epochs, test, "s-", markersize=4, label="test, after the epoch")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return _png(figure)


def digits_png(data: Dataset, index: NDArray[np.int64]) -> bytes:
    """The images at `index`, five in a row, each under its label and its number."""
    figure = Figure(figsize=(7.5, 2.1 * -(-len(index) // 5)), layout="constrained")
    grid = figure.subplots(-(-len(index) // 5), 5, squeeze=False)
    for axes in grid.flat[len(index) :]:
        axes.axis("off")
    for axes, i in zip(grid.flat, index, strict=False):
        axes.imshow(data.images[i], cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{data.labels[i]}", fontsize=14)
        axes.set_xlabel(f"no. {i}")
        axes.set_xticks([])
        axes.set_yticks([])
    return _png(figure)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
