"""Train the model of a job. If the trainer refuses a setting, name the option in the error."""

from __future__ import annotations

from pathlib import Path

import typer

from byhand.cli.data import locate
from byhand.cli.display import TrainingDisplay
from byhand.cli.job import Job, recipe_settings
from byhand.cli.output import describe, fail
from byhand.cli.report import say_header
from byhand.data import Dataset
from byhand.files.tensors import CheckpointError
from byhand.models import Model
from byhand.mpi import wait_for_first
from byhand.training import Event, Ranks, TrainingStarted
from byhand.training.ranks import SettingsDiffer
from byhand.training.run_folder import ResumeError


def fit(
    job: Job,
    model: Model,
    sets: tuple[Dataset, Dataset],
    folder: Path,
    display: TrainingDisplay,
    started: str,
    *,
    keep_epochs: bool,
    resume: bool,
    device: str,
    ranks: Ranks,
) -> None:
    """Train a model with the settings of a job.

    Parameters
    ----------
    job : Job
        The settings.
    model : Model
        The model to train.
    sets : pair of Dataset
        The training and the test images.
    folder : Path
        The run folder to write. Only process 0 writes it, so the others may pass any folder.
    display : TrainingDisplay
        Shows the events of the training.
    started : str
        Where the initial weights came from, in words. It is empty if they are random.
    keep_epochs : bool
        Whether to keep a model file of every epoch, as in `Trainer`.
    resume : bool
        Whether to continue the run in `folder`, as in `Trainer.fit`.
    device : str
        The device to train on.
    ranks : Ranks
        The processes that train together.

    Raises
    ------
    typer.BadParameter
        If the trainer refuses a setting. The error names the option.
    typer.Exit
        If the run cannot be resumed, or the processes have different settings.
    """
    train_set, watched = job.parts(sets)
    recipe, source = job.recipe, str(locate(job.data))
    held_out = f"the {len(watched):,} images held out for validation"

    started_events: list[TrainingStarted] = []

    def header(event: Event) -> None:
        if isinstance(event, TrainingStarted):
            started_events.append(event)
            say_header(
                *(job, event, len(sets[1]), str(train_set.source or source), started, ranks.size)
            )

    try:
        trainer = recipe.trainer(
            model,
            len(train_set),
            handlers=[header, display],
            run=folder,
            notes={
                "model": job.title,
                "data": source,
                "validation": "the test set" if job.validation is None else held_out,
                "job": job.settings(),
            },
            keep_epochs=keep_epochs,
            device=device,
            progress=False,
            ranks=ranks,
        )
    except ValueError as error:
        raise _wrong_setting(error) from None
    try:
        trainer.fit(
            train_set,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            validation=watched,
            choose_by_validation=job.validation is not None,
            seed=job.seed,
            resume=resume,
        )
    except (ResumeError, SettingsDiffer) as error:
        fail(describe(error))
    except CheckpointError:
        raise
    except (TypeError, ValueError) as error:
        # Once the training has begun, no option is wrong. Only process 0 calls the handler
        # `header`, so only process 0 knows whether the training has begun.
        if started_events or not ranks.is_first:
            raise
        raise _wrong_setting(error) from None


def _wrong_setting(error: Exception) -> typer.BadParameter:
    """Convert an error of the trainer, whose message begins with the name of a setting.

    The new error names the option of this setting. If several processes train together, process 0
    alone reports it.
    """
    wait_for_first()
    name = str(error).split()[0].partition("=")[0]
    option = f"--{name.replace('_', '-')}" if name in recipe_settings() else None
    return typer.BadParameter(str(error), param_hint=option)
