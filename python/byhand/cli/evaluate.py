"""`byhand evaluate`, and how a command finds a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from byhand import models, training
from byhand.cli.data import load_for, locate
from byhand.cli.display import percent
from byhand.cli.options import DataOption, ThreadsOption
from byhand.cli.output import fail, say
from byhand.run_folder import RunFolder

ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A run folder or a .safetensors file.")
]
BestOption = Annotated[
    bool,
    typer.Option(
        "--best", help="Of a run folder the epoch of lowest test loss, in place of the last one."
    ),
]


def load_model(path: Path, best: bool) -> models.Model:
    """The model in a run folder or a file; ends the command where there is none."""
    if path.is_dir():
        run = RunFolder(path)
        file = run.best_path if best else run.model_path
        if not file.exists():
            fail(f"{path} holds no {file.name}: no epoch of it was finished")
        return models.load(file)
    if best:
        raise typer.BadParameter(f"{path} is not a run folder", param_hint="--best")
    return models.load(path)


def evaluate(
    model: ModelArgument,
    data: DataOption = None,
    best: BestOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Measure a model's loss and accuracy on the test set."""
    network = load_model(model, best)
    _, test = load_for(network, data)
    loss, accuracy = training.evaluate(network, test)
    right = round(accuracy * len(test))
    say(f"test loss {loss:.4f}, accuracy {percent(accuracy)} ({right:,} of {len(test):,} images)")
    say(f"data {locate(data)}")
