"""The command `byhand evaluate`, and the arguments that name a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from byhand import training
from byhand.cli.completion import runs
from byhand.cli.confusion import say_confusion, say_numbers
from byhand.cli.data import holds_pictures, preparation, said_preparation
from byhand.cli.display import percent
from byhand.cli.options import PicturesOption, RunDataOption, ThreadsOption, png
from byhand.cli.output import say
from byhand.cli.run_data import load_of_run
from byhand.cli.stored_model import load_model
from byhand.data import Dataset
from byhand.files.atomic import write_atomic
from byhand.models import Model

ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="A run folder or a .safetensors file.", autocompletion=runs
    ),
]
EpochOption = Annotated[
    str | None,
    typer.Option(
        "--epoch",
        metavar="best|last|N",
        help="Epoch of a run folder. best: the epoch with the lowest loss on the validation "
        "images or, without them, on the test set. last: the last epoch. N: epoch N, if the run "
        "has kept it (train --keep-epochs).",
        show_default="best if the run has validation images, otherwise last",
    ),
]

# The number of mistakes that --worst draws.
_WORST = 25


def evaluate(
    model: ModelArgument,
    data: RunDataOption = None,
    epoch: EpochOption = None,
    worst: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=f"Also draw the {_WORST} worst mistakes into this PNG file."
        ),
    ] = None,
    pictures: PicturesOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Measure a model on the test set: loss, accuracy, and which classes it confuses.

    A model of a run is measured on the data of this run, unless --data names other data.
    """
    if worst is not None:
        png("--worst", worst)
    network, which = load_model(model, epoch)
    if which:
        say(which)
    _, test = load_of_run(network, model, data, pictures)
    evaluation = training.evaluate(network, test)
    loss, accuracy = evaluation
    right = round(accuracy * len(test))
    say(f"test loss {loss:.4f}, accuracy {percent(accuracy)} ({right:,} of {len(test):,} images)")
    say(f"data {test.source}")
    if test.source is not None and holds_pictures(Path(test.source.folder)):
        say(said_preparation(network, preparation(network, pictures)))
    say()
    if evaluation.confusion is None:
        say_numbers(test.labels, network.predict(test.images))
    else:
        say_confusion(network.class_names, evaluation.confusion)
    if worst is not None:
        _draw_worst(worst, network, test, network.predict(test.images))


def _draw_worst(path: Path, model: Model, test: Dataset, predicted: NDArray[np.int64]) -> None:
    from byhand.cli.sheets import mistakes_png
    from byhand.plots.figure import drawable_names

    wrong = np.flatnonzero(predicted != test.labels)
    if model.classes == 1:
        badness = np.abs(predicted[wrong] - test.labels[wrong])
        texts = [(str(test.labels[i]), f"read as {predicted[i]}") for i in wrong]
    else:
        # The most confident wrong predictions come first.
        badness = chosen = model.predict_proba(test.images[wrong]).max(axis=1)
        names = drawable_names(model.class_names)
        texts = [
            (names[test.labels[i]], f"read as {names[predicted[i]]} ({100 * p:.0f} %)")
            for i, p in zip(wrong, chosen, strict=True)
        ]
    order = np.argsort(-badness, kind="stable")[:_WORST]
    write_atomic(path, mistakes_png(test, wrong[order], [texts[i] for i in order]))
    say()
    say(f"{len(order)} of {len(wrong):,} mistakes, the worst first: {path.resolve()}")
