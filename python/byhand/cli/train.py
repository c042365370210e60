"""The command `byhand train`."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shlex
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from byhand import mpi
from byhand.cli.completion import runs
from byhand.cli.data import check, load, preparation
from byhand.cli.display import TrainingDisplay
from byhand.cli.fitting import fit
from byhand.cli.job import (
    RESTORE,
    Activation,
    Init,
    Method,
    ModelName,
    RecipeName,
    Schedule,
    class_names_of,
    hidden_of,
    job_of,
    resumed_job,
)
from byhand.cli.options import (
    DataOption,
    DeviceName,
    DeviceOption,
    Pictures,
    ThreadsOption,
    TrainingPicturesOption,
)
from byhand.cli.output import describe, fail, speak_as, warn
from byhand.cli.plot import draw_curves
from byhand.cli.report import accuracy, say_result, warp_words
from byhand.cli.stored_model import advised
from byhand.cli.streams import exit_code
from byhand.cuda import DeviceError
from byhand.cuda import load as load_cuda
from byhand.training import Ranks
from byhand.training.augmentation import Warp
from byhand.training.recipes import ADAM_LR, RECIPES
from byhand.training.run_folder import RunFolder


def _of_recipe(field: str, help: str, metavar: str = "X", **limits: Any) -> Any:
    """Make an option for a setting whose default value is in the recipe of the network.

    --help shows the default. If the recipes of the networks differ, it shows one per network.
    """
    values = {name: getattr(recipe, field) for name, recipe in RECIPES.items()}
    each = ", ".join(f"{name} {value}" for name, value in values.items())
    same = len(set(values.values())) == 1
    shown = str(next(iter(values.values()))) if same else each
    return typer.Option(help=help, metavar=metavar, show_default=shown, **limits)


def train(
    model: Annotated[
        ModelName | None,
        typer.Argument(
            metavar="MODEL", help="The network: softmax, mlp or lenet5.", show_default=False
        ),
    ] = None,
    recipe: Annotated[
        RecipeName | None,
        typer.Option(
            metavar="NAME",
            help="Set of settings: default or best. best trains for about a minute and reaches the "
            "highest accuracy. The options below change single settings.",
            show_default="default",
        ),
    ] = None,
    data: DataOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            metavar="RUN",
            help="Run folder to create. A folder that holds a trained run is refused.",
            show_default="runs/MODEL-DATE-TIME",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        _of_recipe("epochs", "Number of passes over the training set.", metavar="N", min=1),
    ] = None,
    batch_size: Annotated[
        int | None,
        _of_recipe("batch_size", "Number of images per training step.", metavar="N", min=1),
    ] = None,
    lr: Annotated[
        float | None,
        _of_recipe(
            "lr",
            "Learning rate, or its peak if the schedule is onecycle. Another "
            "--batch-size changes the default.",
            min=0,
        ),
    ] = None,
    schedule: Annotated[
        Schedule | None,
        typer.Option(
            metavar="NAME",
            help="Schedule of the learning rate. onecycle: it rises to --lr, then falls to nearly "
            "0. constant: it stays at --lr.",
            show_default="onecycle",
        ),
    ] = None,
    optimizer: Annotated[
        Method | None,
        typer.Option(
            metavar="NAME",
            help=f"Optimizer: sgd, adam or adamw. For adam and adamw, the default of --lr is "
            f"{ADAM_LR:g}.",
            show_default="sgd",
        ),
    ] = None,
    momentum: Annotated[float | None, _of_recipe("momentum", "Momentum of SGD.", min=0)] = None,
    nesterov: Annotated[
        bool | None,
        typer.Option(help="Use Nesterov's momentum.", show_default="yes, if --momentum is not 0"),
    ] = None,
    weight_decay: Annotated[
        float | None, _of_recipe("weight_decay", "Strength of L2 regularisation.", min=0)
    ] = None,
    activation: Annotated[
        Activation | None,
        typer.Option(
            metavar="NAME",
            help="Activation of the hidden layers of mlp and lenet5: relu, tanh or sigmoid.",
            show_default="relu",
        ),
    ] = None,
    hidden: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Widths of the hidden layers of mlp, such as 200,200. The other networks have no "
            "such setting.",
            show_default="128,64",
        ),
    ] = None,
    init: Annotated[
        Init | None,
        typer.Option(
            metavar="NAME",
            help=f"Initial weights: {', '.join(name.value for name in Init)}.",
            show_default="uniform",
        ),
    ] = None,
    max_shift: Annotated[
        int | None,
        _of_recipe(
            "max_shift", "Shift each image at random by up to N pixels.", metavar="N", min=0
        ),
    ] = None,
    augment: Annotated[
        bool | None,
        typer.Option(
            "--augment",
            help="Distort each image at random in every epoch: rotate, scale, shear, shift and "
            f"bend it ({warp_words(Warp())}).",
            show_default="no distortion",
        ),
    ] = None,
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="X",
            help="Reduce the target probability of the right class by the share X, and spread X "
            "evenly over all classes.",
            show_default="0.0",
        ),
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Average the weights over the training steps with the decay X, such as 0.99. The "
            "average is tested and saved instead of the weights.",
            show_default="no average",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=2**64 - 1,
            metavar="N",
            help="Seed of the initial weights, the order of the images, their shifts and "
            "distortions, and the draws of dropout.",
            show_default="0",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Continue this run after its last complete epoch, with its settings and data. "
            "With --epochs N, it continues until it has N epochs. The number of processes and the "
            "device may differ from before, which changes the results.",
            autocompletion=runs,
        ),
    ] = None,
    pictures: TrainingPicturesOption = None,
    validation: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Hold out the share X of the training images, such as 0.1, for validation. The "
            "model of the run is then that of the epoch with the lowest validation loss, and it is "
            "measured on the test set once, at the end.",
            show_default="none. Each epoch is measured on the test set, and the model of the run "
            "is that of the last epoch",
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Names of the classes 0, 1 and so on: A,B,C or a text file with one name per "
            "line. Class folders cannot be renamed in this way.",
            show_default="the numbers, or the names of class folders",
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN|FILE",
            help="Start from the weights of a trained model of the same network. If the classes "
            "differ, the last layer starts from new weights.",
            show_default=False,
            autocompletion=runs,
        ),
    ] = None,
    keep_epochs: Annotated[
        bool,
        typer.Option(
            "--keep-epochs", help="Keep the model of each epoch in the folder RUN/epochs."
        ),
    ] = False,
    log_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Print the training loss (called cost) and the error every N batches.",
            show_default="never",
        ),
    ] = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Train a classifier, on MNIST unless --data names other images.

    Ctrl-C stops the training. The run folder keeps the last complete epoch, and --resume continues
    from there. The result is the same, bit for bit, as without the interruption, unless it
    continues on another device or with another number of processes.

    `mpirun -n N byhand train ...` trains with N processes, on one machine or on several. It needs
    pip install "byhand[mpi]".
    """
    if resume is not None and out is not None:
        raise typer.BadParameter("a resumed run stays in its own folder", param_hint="--out")
    if resume is not None and recipe is not None:
        raise typer.BadParameter("a resumed run keeps its own recipe", param_hint="--recipe")
    if resume is not None and (start, init) != (None, None):
        hint = "--init" if start is None else "--from"
        raise typer.BadParameter("a resumed run keeps its own weights", param_hint=hint)
    if optimizer not in (None, Method.sgd) and (momentum, nesterov) != (None, None):
        raise typer.BadParameter("only sgd has momentum", param_hint="--optimizer")
    settings = {
        "model": model,
        "recipe": None if recipe is None else recipe.value,
        "activation": activation,
        "hidden": None if hidden is None else hidden_of(hidden),
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "momentum": momentum,
        "nesterov": nesterov,
        "weight_decay": weight_decay,
        "method": None if optimizer is None else optimizer.value,
        "schedule_name": None if schedule is None else schedule.value,
        "init": None if init is None else init.value,
        "max_shift": max_shift,
        "augment": Warp().strengths() if augment else None,
        "label_smoothing": label_smoothing,
        "ema": ema,
        "seed": seed,
        "data": data,
        "pictures": pictures,
        "validation": validation,
        "class_names": None if class_names is None else class_names_of(class_names),
        "start": start,
    }
    ranks = mpi.launched_world(share_processors=threads is None)
    speak_as(ranks.rank)
    job = job_of(settings) if resume is None else resumed_job(resume, settings)
    device_name = _device(device, resume)
    if resume is not None:
        _warn_of_other_processes(ranks, resume)
    # A run that has finished an epoch continues with its own weights, not with those of --from.
    begun = resume is not None and RunFolder(resume).state_path.exists()
    source = None if begun else job.source()
    shape, way = job.shape, job.pictures
    if source is not None:
        shape, way = source[0].input_shape, preparation(source[0], way)
    with ranks.first_then_others():  # the first process may have to fetch MNIST
        sets = load(job.data, shape, job.class_names, way)
    if (origin := sets[0].source) is not None and origin.pictures:
        job = dataclasses.replace(job, pictures=Pictures(origin.pictures))
    network = job.new_model(sets[0])
    check(network, sets, job.data)
    started = "" if source is None else job.start_from(*source, network)
    # Several processes show no bar, for the same reason as in `Trainer`.
    has_bar, watched = ranks.size == 1, "test" if job.validation is None else "val"
    display = TrainingDisplay(log_every, watched, has_bar=has_bar)
    options = {"keep_epochs": keep_epochs, "resume": resume is not None}
    with (
        _run_folder(resume or out, job.model.value, ranks) as folder,
        _saying_what_is_kept(display, folder),
        contextlib.nullcontext() if resume is None else advised(folder, RESTORE, only_runs=True),
        display,
    ):
        fit(
            job, network, sets, folder, display, started, device=device_name, ranks=ranks, **options
        )
    if not ranks.is_first:
        return
    drawn = draw_curves(RunFolder(folder).curves_path, {job.title: display.history}, job.title)
    say_result(job, sets[1], folder, display.history, drawn)


def _device(chosen: DeviceName | None, resume: Path | None) -> str:
    """Return the device that trains: the chosen one, the last one of the resumed run, or the CPU.

    End the command if this device cannot be used.
    """
    last: str = "cpu" if resume is None else RunFolder(resume).config().get("device", "cpu")
    device = last if chosen is None else chosen.value
    if device == "cuda":
        try:
            load_cuda()
        except DeviceError as error:
            advice = "" if chosen else "; pass --device cpu to continue the run on the CPU"
            fail(f"{error}{advice}")
    if resume is not None and device != last:
        words = f"the run last ran on {last} and continues on {device}"
        warn(f"{words}, which rounds differently")
    return device


def _warn_of_other_processes(ranks: Ranks, resume: Path) -> None:
    """Warn if the resumed run last ran with another number of processes."""
    last = RunFolder(resume).config().get("processes", 1)
    if ranks.size != last:
        words = f"the run last ran with {_processes(last)} and continues with"
        warn(
            f"{words} {_processes(ranks.size)}, which rounds differently, and changes the draws of "
            "dropout and the statistics of batch normalization"
        )


def _processes(count: int) -> str:
    return f"{count} process{'es' * (count != 1)}"


@contextlib.contextmanager
def _run_folder(out: Path | None, name: str, ranks: Ranks) -> Iterator[Path]:
    """Yield `out` or, if it is None, a new folder under runs/ that no other process uses.

    The new folder is removed if it is still empty at the end. If several processes train together,
    only the first makes a folder, because the others write no files.
    """
    stem = Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    if out is not None or not ranks.is_first:
        yield out or stem
        return
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
    """If training ends early, print the error and what the run folder keeps, in one line."""

    def kept() -> str:
        if not display.history:
            return "no epoch was finished, so there is no model"
        last = display.history[-1]
        return f"{folder} keeps epoch {last.epoch}, {display.watched} accuracy {accuracy(last)}"

    try:
        yield
    except BrokenPipeError:
        raise
    except KeyboardInterrupt as interruption:
        advice = shlex.join(["byhand", "train", "--resume", str(folder)])
        warn(f"interrupted: {kept()}" + (f"; to continue: {advice}" if display.history else ""))
        raise typer.Exit(exit_code(interruption)) from None
    except (OSError, DeviceError, FloatingPointError, MemoryError) as error:
        fail(f"{describe(error)}; {kept()}" if display.history else describe(error))
