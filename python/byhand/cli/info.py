"""The command `byhand info`. It describes a model or, for bug reports, this installation."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

import byhand
from byhand.cli.completion import runs
from byhand.cli.data import locate
from byhand.cli.display import percent
from byhand.cli.evaluate import EpochOption
from byhand.cli.job import job_of
from byhand.cli.output import say, say_field
from byhand.cli.report import optimizer_words
from byhand.cli.run_data import config_of, data_of
from byhand.cli.stored_job import stored_settings
from byhand.cli.stored_model import load_model
from byhand.data import DataError
from byhand.data.folder import data_folder, find_files, is_complete
from byhand.models import Model

_PACKAGES = (
    "numpy",
    "safetensors",
    "platformdirs",
    "typer",
    "rich",
    "pillow",
    "scipy",
    "matplotlib",
)


_WAYS = {
    "digits": "digits: the ink is found, scaled to fit a box, and centred, as in MNIST",
    "plain": "plain: only resized",
}


def info(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="A run folder or a .safetensors file.",
            show_default=False,
            autocompletion=runs,
        ),
    ] = None,
    epoch: EpochOption = None,
) -> None:
    """Describe a model or, without MODEL, the installation: versions, threads, GPU, data folder."""
    if model is not None:
        _model(model, epoch)
        return
    if epoch is not None:
        raise typer.BadParameter("--epoch needs a run folder: name one", param_hint="MODEL")
    byhand.show_config()
    say(f"{'data':17} {_data()}")
    say(f"{'python':17} {platform.python_version()}, {platform.platform()}")
    for name in _PACKAGES:
        say(f"{name:17} {_version(name)}")


def _data() -> str:
    """Return which data set is read without --data, and from which folder."""
    try:
        folder = locate(None)
        if folder is None:
            return f"none yet: byhand data fetch puts MNIST into {data_folder()}"
        if not is_complete(find_files(folder)):
            return f"{folder}, a folder for each class"
        return str(byhand.data.load_folder(folder)[0].source)
    except (DataError, OSError) as error:  # the rest of the bug report is still useful
        return str(error)


def _model(path: Path, epoch: str | None) -> None:
    model, which = load_model(path, epoch)
    parameters = sum(parameter.size for parameter in model.parameters())
    rows = {
        "model": f"{path}: {parameters:,} parameters",
        "epoch": which,
        "classes": f"{model.classes}: {', '.join(model.class_names)}",
        "images": "{} x {} x {} (channels x height x width)".format(*model.input_shape),
        "pictures": _WAYS[model.preparation()],
        "trained on": _training(path, model),
        **_job(path),
        "accuracy": _accuracy(model),
    }
    for name, text in rows.items():
        if text:
            say_field(name, text, 11)
    say()
    say(repr(model))


def _training(path: Path, model: Model) -> str:
    """Return the number of training images and, for a run, where they came from."""
    known = [] if model.trained is None else [f"{model.trained.get('images', 0):,} images"]
    notes = (config_of(path) or {}).get("notes") or {}
    source = data_of(path) or notes.get("data")
    return ", ".join(known + [str(source)] * bool(source)) or "not recorded in the file"


def _job(path: Path) -> dict[str, str]:
    """Return the rows on network and recipe, or {} if config.json lacks these settings."""
    try:
        job = job_of(stored_settings(config_of(path) or {}))
    except (typer.BadParameter, TypeError, ValueError):
        return {}
    recipe = job.recipe
    epochs = f"{recipe.epochs} epochs" if recipe.epochs > 1 else "1 epoch"
    images = f"batches of {recipe.batch_size} images, seed {job.seed}"
    return {
        "network": job.title,
        "recipe": f"{optimizer_words(recipe)}; {epochs}, {images}",
    }


def _accuracy(model: Model) -> str:
    trained = model.trained or {}
    if trained.get("validation_accuracy") is None:
        return ""
    images = f"{trained.get('validation_images', 0):,} validation images"
    which = f"after epoch {trained.get('epoch')}"
    return f"{percent(trained['validation_accuracy'])} of {images}, {which}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
