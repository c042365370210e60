"""Print the lines of `byhand train` before and after training."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from byhand.cli.display import percent
from byhand.cli.job import Job
from byhand.cli.output import say, say_field
from byhand.data import Dataset
from byhand.models import load
from byhand.optim import OPTIMIZERS
from byhand.runtime import get_num_threads
from byhand.training import EpochEnd, TrainingStarted, evaluate
from byhand.training.augmentation import Warp
from byhand.training.recipes import Recipe
from byhand.training.run_folder import RunFolder


def say_header(
    job: Job, event: TrainingStarted, test_images: int, source: str, started: str, processes: int
) -> None:
    """Print the network, the images and the settings of a training, before the first epoch.

    Parameters
    ----------
    job : Job
        The settings.
    event : TrainingStarted
        The first event of the training.
    test_images : int
        The number of test images.
    source : str
        The data set and its folder, in words.
    started : str
        Where the initial weights came from, in words. It is empty if they are random.
    processes : int
        The number of processes that train together.
    """
    recipe = job.recipe
    parameters = sum(parameter.size for parameter in event.model.parameters())
    validation = f", {event.validation_images:,} validation"
    held_out = "" if job.validation is None else validation
    pictures = "this model's default for --pictures in predict and evaluate"
    threads = str(get_num_threads())
    if processes > 1:
        threads += f" in each of {processes} processes, which share every batch"
    lines = {
        "model": f"{job.title}: {parameters:,} parameters",
        "data": f"{event.images:,} training{held_out} and {test_images:,} test images, {source}",
        "pictures": f"{event.model.pictures}, {pictures}",
        "recipe": f"{recipe.epochs} x {event.batches:,} steps of {recipe.batch_size} images",
        "": optimizer_words(recipe),
        "seed": str(job.seed),
        "threads": threads,
        "run": str(event.run),
    }
    if event.model.device != "cpu":
        lines["device"] = event.model.device
    if job.note:
        lines["rate"] = job.note
    if started:
        lines["from"] = started
    if recipe.init != "uniform":
        lines["weights"] = recipe.init
    if recipe.max_shift:
        lines["images"] = f"moved at random by up to {recipe.max_shift} pixels"
    if recipe.augment is not None:
        lines["augment"] = warp_words(recipe.augment)
    if recipe.label_smoothing:
        lines["loss"] = f"cross-entropy, label smoothing {recipe.label_smoothing:g}"
    if recipe.ema is not None:
        lines["average"] = f"of the weights, decay {recipe.ema:g}"
    if event.history:
        lines["resumed"] = _resumed(job, event)
    for name, text in lines.items():
        say_field(name, text)
    say()


def warp_words(warp: Warp) -> str:
    """Return the strengths of a distortion as one line.

    Parameters
    ----------
    warp : Warp
        The distortion.
    """
    return (
        f"rotation {warp.rotation:g} and shear {warp.shear:g} degrees, scale {warp.scale:g}, "
        f"shift {warp.shift:g} and elastic {warp.elastic:g} pixels"
    )


def optimizer_words(recipe: Recipe) -> str:
    """Return the optimizer of a recipe and its settings as one line.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    """
    rate = f"learning rate {recipe.lr:g}"
    if recipe.schedule_name == "onecycle":
        rate = f"one cycle up to the {rate}"
    else:
        rate = f"constant {rate}"
    momentum = ""
    if recipe.method == "sgd":
        momentum = f", momentum {recipe.momentum:g}{' (Nesterov)' if recipe.nesterov else ''}"
    name = OPTIMIZERS[recipe.method].__name__
    return f"{name}, {rate}{momentum}, weight decay {recipe.weight_decay:g}"


def _resumed(job: Job, event: TrainingStarted) -> str:
    """Return a text that says after which epoch a run continues.

    If epochs remain and their total number has changed, the text says so. Unless the schedule is
    constant, it then also names the learning rate of the next step.
    """
    done, before = len(event.history), event.history[-1].epochs
    if before == event.epochs or done == event.epochs:
        return f"after epoch {done}"
    if job.recipe.schedule_name == "constant":
        return f"after epoch {done}; the run now has {event.epochs} epochs instead of {before}"
    rate = job.recipe.schedule(event.images)(done * event.batches)
    return (
        f"after epoch {done}; the run now has {event.epochs} epochs instead of {before}. The cycle "
        f"of the learning rate spans all {event.epochs}, so the rate continues at {rate:.3g}"
    )


def say_result(
    job: Job, test: Dataset, folder: Path, history: Sequence[EpochEnd], drawn: bool
) -> None:
    """Print the result of a run and a command to try next.

    Parameters
    ----------
    job : Job
        The settings.
    test : Dataset
        The test images.
    folder : Path
        The run folder.
    history : sequence of EpochEnd
        The epochs of the run.
    drawn : bool
        Whether the curves were drawn.
    """
    say()
    if job.validation is None:
        _say_watched(history)
    else:
        chosen = RunFolder(folder).choose()
        say(f"The model of this run is {chosen.description}.")
        tested = evaluate(load(chosen.path), test)
        say(f"Test accuracy of epoch {chosen.epoch}: {percent(tested.accuracy)}, measured once.")
    curves = f", its curves in {RunFolder(folder).curves_path}" if drawn else ""
    say(f"The run is in {folder}{curves}.")
    data = [] if job.data is None else ["--data", str(job.data)]
    command = ["byhand", "predict", str(folder), "--test-image", "3", *data]
    say(f"Now try: {shlex.join(command)}")


def _say_watched(history: Sequence[EpochEnd]) -> None:
    """Print the test accuracy of a run that measured every epoch on the test set."""
    last = history[-1]
    best = next((end for end in reversed(history) if end.best), last)
    say(
        f"Test accuracy after epoch {last.epoch}: {accuracy(last)}. This is the last epoch. No "
        "epoch was chosen by its test accuracy."
    )
    if best is not last:
        say(
            f"Epoch {best.epoch} had the lowest test loss, accuracy {accuracy(best)}. --epoch "
            "best takes it, but then the test set chooses the epoch."
        )


def accuracy(event: EpochEnd) -> str:
    """Return the accuracy of an epoch as a percentage.

    It was measured on the validation images or, if there are none, on the test images.

    Parameters
    ----------
    event : EpochEnd
        The epoch.
    """
    return "unknown" if event.validation_accuracy is None else percent(event.validation_accuracy)
