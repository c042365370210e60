"""`byhand train`."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from byhand.checkpoint import write_atomic
from byhand.cli.data import load_for, locate
from byhand.cli.display import TrainingDisplay, percent
from byhand.cli.options import DataOption, ThreadsOption
from byhand.cli.output import describe, fail, say, warn
from byhand.data import Dataset
from byhand.events import EpochEnd, Event, TrainingStarted
from byhand.models import Model
from byhand.recipes import RECIPES, Recipe
from byhand.runtime import get_num_threads
from byhand.training import Trainer


class ModelName(str, Enum):
    softmax = "softmax"
    mlp = "mlp"
    lenet5 = "lenet5"


class Activation(str, Enum):
    relu = "relu"
    tanh = "tanh"
    sigmoid = "sigmoid"


def _of_recipe(field: str, help: str, metavar: str = "X", **limits: Any) -> Any:
    """An option whose default is the recipe's; --help shows it, or what it is for each model."""
    values = {name: getattr(recipe, field) for name, recipe in RECIPES.items()}
    each = ", ".join(f"{name} {value}" for name, value in values.items())
    same = len(set(values.values())) == 1
    shown = str(next(iter(values.values()))) if same else each
    return typer.Option(help=help, metavar=metavar, show_default=shown, **limits)


def train(
    model: Annotated[ModelName, typer.Argument(metavar="MODEL", help="softmax, mlp or lenet5.")],
    data: DataOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run folder to make; one that holds a trained run is refused.",
            show_default="runs/MODEL-DATE-TIME",
        ),
    ] = None,
    epochs: Annotated[
        int | None, _of_recipe("epochs", "Passes over the training set.", metavar="N", min=1)
    ] = None,
    batch_size: Annotated[
        int | None, _of_recipe("batch_size", "Images a step.", metavar="N", min=1)
    ] = None,
    lr: Annotated[float | None, _of_recipe("lr", "Peak learning rate of the one cycle.")] = None,
    momentum: Annotated[float | None, _of_recipe("momentum", "Momentum of SGD.")] = None,
    nesterov: Annotated[
        bool | None, typer.Option(help="Nesterov's momentum.", show_default="with any momentum")
    ] = None,
    weight_decay: Annotated[float | None, _of_recipe("weight_decay", "L2 regularisation.")] = None,
    activation: Annotated[
        Activation | None,
        typer.Option(
            metavar="NAME", help="relu, tanh or sigmoid; not for softmax.", show_default="relu"
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Decides the first weights and the images' order."),
    ] = 0,
    threads: ThreadsOption = None,
) -> None:
    """Train a classifier, on MNIST unless --data names other images.

    Ctrl-C ends it; the run folder keeps the last whole epoch.
    """
    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "momentum": momentum,
        "nesterov": nesterov,
        "weight_decay": weight_decay,
    }
    job = _Job(model, _activation(model, activation), _recipe(model, settings), seed, data)
    network = job.new_model()
    sets = load_for(network, data)
    display = TrainingDisplay()
    with _run_folder(out, model.value) as folder, _saying_what_is_kept(display, folder), display:
        _fit(job, network, sets, folder, display)
    write_atomic(folder / "curves.png", _curves(job, display))
    _say_result(job, folder, display)


@dataclass(frozen=True)
class _Job:
    model: ModelName
    activation: Activation | None
    recipe: Recipe
    seed: int
    data: Path | None

    @property
    def title(self) -> str:
        return ", ".join(part.value for part in (self.model, self.activation) if part)

    def new_model(self) -> Model:
        chosen = {"activation": self.activation.value} if self.activation else {}
        return self.recipe.model(seed=self.seed, **chosen)


def _activation(model: ModelName, wanted: Activation | None) -> Activation | None:
    if model is not ModelName.softmax:
        return wanted or Activation.relu
    if wanted is not None:
        raise typer.BadParameter("softmax has no activation", param_hint="--activation")
    return None


def _recipe(model: ModelName, settings: dict[str, Any]) -> Recipe:
    """The model's recipe with the settings that were given, those that are not None."""
    changes = {name: value for name, value in settings.items() if value is not None}
    if changes.get("momentum") == 0:
        changes.setdefault("nesterov", False)
    return dataclasses.replace(RECIPES[model.value], **changes)


@contextlib.contextmanager
def _run_folder(out: Path | None, name: str) -> Iterator[Path]:
    """`out`, or a new folder under runs/ that no other process has; none is left behind empty."""
    if out is not None:
        yield out
        return
    stem = Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    stem.parent.mkdir(exist_ok=True)
    for number in itertools.count(1):
        folder = stem if number == 1 else stem.with_name(f"{stem.name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def _saying_what_is_kept(display: TrainingDisplay, folder: Path) -> Iterator[None]:
    """Where training ends early, the one line of the error says what the run folder keeps."""

    def kept() -> str:
        if not display.history:
            return "no epoch was finished, so there is no model"
        last = display.history[-1]
        return f"{folder} keeps epoch {last.epoch}, test accuracy {_accuracy(last)}"

    try:
        yield
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        warn(f"interrupted: {kept()}")
        raise typer.Exit(130) from None
    except (OSError, FloatingPointError, MemoryError) as error:
        fail(f"{describe(error)}; {kept()}" if display.history else describe(error))


def _fit(
    job: _Job,
    model: Model,
    sets: tuple[Dataset, Dataset],
    folder: Path,
    display: TrainingDisplay,
) -> None:
    train_set, test_set = sets
    recipe, source = job.recipe, str(locate(job.data))
    try:
        optimizer, schedule = recipe.optimizer(model), recipe.schedule(len(train_set))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    def header(event: Event) -> None:
        if isinstance(event, TrainingStarted):
            _say_header(job, event, source)

    trainer = Trainer(
        model,
        optimizer,
        schedule=schedule,
        handlers=[header, display],
        run=folder,
        notes={
            "model": job.title,
            "data": source,
            "validation": "the test set; best.safetensors is the epoch of its lowest loss",
        },
    )
    trainer.fit(
        train_set,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        validation=test_set,
        seed=job.seed,
    )


def _say_header(job: _Job, event: TrainingStarted, source: str) -> None:
    recipe = job.recipe
    parameters = sum(parameter.size for parameter in event.model.parameters())
    kind = " (Nesterov)" if recipe.nesterov else ""
    lines = {
        "model": f"{job.title}: {parameters:,} parameters",
        "data": f"{event.images:,} training and {event.validation_images:,} test images, {source}",
        "recipe": f"{recipe.epochs} x {event.batches:,} steps of {recipe.batch_size} images",
        "": f"SGD, one cycle up to the learning rate {recipe.lr:g}, momentum {recipe.momentum:g}"
        f"{kind}, weight decay {recipe.weight_decay:g}",
        "seed": str(job.seed),
        "threads": str(get_num_threads()),
        "run": str(event.run),
    }
    for name, text in lines.items():
        say(f"{name:8} {text}")
    say()


def _say_result(job: _Job, folder: Path, display: TrainingDisplay) -> None:
    last = display.history[-1]
    best = next((e for e in reversed(display.history) if e.best), None)
    say()
    say(f"Test accuracy after epoch {last.epoch}: {_accuracy(last)}.")
    if best is not None:
        say(
            f"best.safetensors is epoch {best.epoch}, {_accuracy(best)}: chosen by its loss on the "
            "test set, so its accuracy is optimistic."
        )
    say(f"The run is in {folder}, its curves in {folder / 'curves.png'}.")
    data = [] if job.data is None else ["--data", str(job.data)]
    command = ["byhand", "predict", str(folder), "--test-image", "3", *data]
    say(f"Now try: {shlex.join(command)}")


def _accuracy(event: EpochEnd) -> str:
    return "unknown" if event.validation_accuracy is None else percent(event.validation_accuracy)


def _curves(job: _Job, display: TrainingDisplay) -> bytes:
    from byhand.cli.figures import curves_png

    return curves_png(display.history, job.title)
