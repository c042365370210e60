"""The events that training tells its handlers, and the exception with which one ends it.

Epochs and batches count from 1; errors and accuracies are fractions from 0 to 1. In each epoch come
`BatchEnd` after every batch, `Evaluated` where there is validation, `CheckpointSaved` where there
is a run folder, `EpochEnd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from byhand.models import Model


class StopTraining(Exception):
    """Raised by a handler, ends training as if the epochs were over: `TrainingEnded` follows.

    All handlers get the event first. Raised at a batch, it leaves out the rest of the epoch, which
    then is in neither the history nor the run folder.
    """


@dataclass(frozen=True)
class TrainingStarted:
    """Before the first epoch. batches: in an epoch; validation_images: 0 without validation.

    history: the epochs that a resumed run has behind it.
    """

    model: Model
    epochs: int
    batches: int
    batch_size: int
    images: int
    validation_images: int
    run: Path | None
    history: tuple[EpochEnd, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """After the update of one batch of `images`; loss and error are those before the update.

    counted: the number of images that the loss averages, fewer than `images` if it ignores labels.
    """

    epoch: int
    batch: int
    batches: int
    images: int
    counted: int
    loss: float
    error: float
    lr: float


@dataclass(frozen=True)
class Evaluated:
    """After the validation that ends an epoch; seconds: of the validation alone."""

    epoch: int
    images: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class CheckpointSaved:
    """After the files of an epoch lie in the folder `run`. best: best.safetensors is this epoch."""

    epoch: int
    run: Path
    best: bool


@dataclass(frozen=True)
class EpochEnd:
    """After an epoch, its validation and its files.

    loss, error: means over the images as they were trained. validation_loss, validation_accuracy:
    None without validation. lr: of the last step. seconds: of the training pass alone. best: the
    lowest validation loss so far.
    """

    epoch: int
    epochs: int
    loss: float
    error: float
    validation_loss: float | None
    validation_accuracy: float | None
    lr: float
    seconds: float
    images_per_second: float
    best: bool


@dataclass(frozen=True)
class TrainingEnded:
    """After the last epoch; not where an exception ends training.

    history: with the epochs of the run before it was resumed. seconds: of this call's epochs with
    their validation. stopped: a handler raised `StopTraining`.
    """

    history: tuple[EpochEnd, ...]
    seconds: float
    stopped: bool = False


Event = TrainingStarted | BatchEnd | Evaluated | CheckpointSaved | EpochEnd | TrainingEnded
