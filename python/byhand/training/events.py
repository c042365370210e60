"""The events that training tells its handlers, and the exception that ends it.

Epochs and batches are counted from 1. Errors and accuracies are fractions from 0 to 1. In each
epoch, `BatchEnd` comes after every batch, then `Evaluated` if there is validation,
`CheckpointSaved` if there is a run folder, and `EpochEnd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from byhand.models import Model


class StopTraining(Exception):
    """A handler raises it to end the training as if the epochs were over: `TrainingEnded` follows.

    All other handlers get the event first. If it is raised at a batch, the rest of the epoch is
    left out, and the epoch is in neither the history nor the run folder.
    """


@dataclass(frozen=True)
class TrainingStarted:
    """Told before the first epoch.

    Attributes
    ----------
    model : Model
    epochs : int
        The number of epochs of the whole run.
    batches : int
        The number of batches in an epoch.
    batch_size : int
    images : int
        The number of training images.
    validation_images : int
        0 without validation.
    run : Path or None
        The run folder.
    history : tuple of EpochEnd
        The epochs of a resumed run that are done.
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
    """Told after the update of the weights by one batch.

    Attributes
    ----------
    epoch : int
    batch : int
        The number of the batch in the epoch.
    batches : int
        The number of batches in an epoch.
    images : int
        The number of images in the batch.
    counted : int
        The number of images that the loss averages. It is less than `images` if the loss ignores
        labels.
    loss : float
        The mean loss before the update.
    error : float
        The fraction of wrong answers before the update.
    lr : float
        The learning rate of the update.
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
    """Told after the validation that ends an epoch.

    Attributes
    ----------
    epoch : int
    images : int
        The number of validation images.
    loss : float
    accuracy : float
    seconds : float
        The time of the validation alone.
    """

    epoch: int
    images: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class CheckpointSaved:
    """Told when the files of an epoch are in the run folder.

    Attributes
    ----------
    epoch : int
    run : Path
        The run folder.
    best : bool
        Whether best.safetensors is this epoch.
    """

    epoch: int
    run: Path
    best: bool


@dataclass(frozen=True)
class EpochEnd:
    """Told after an epoch, its validation and its files.

    Attributes
    ----------
    epoch : int
    epochs : int
        The number of epochs of the whole run.
    loss : float
        The mean loss over the training images, each measured in its training step.
    error : float
        The fraction of wrong answers, measured in the same way.
    validation_loss : float or None
        None without validation.
    validation_accuracy : float or None
    lr : float
        The learning rate of the last step.
    seconds : float
        The time of the training alone, without validation and files.
    images_per_second : float
    best : bool
        Whether the validation loss is the lowest so far.
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
    """Told after the last epoch, but not if an exception ends the training.

    Attributes
    ----------
    history : tuple of EpochEnd
        The epochs of the whole run.
    seconds : float
        The time of this call of `fit`, including validation.
    stopped : bool
        Whether a handler raised `StopTraining`.
    """

    history: tuple[EpochEnd, ...]
    seconds: float
    stopped: bool = False


Event = TrainingStarted | BatchEnd | Evaluated | CheckpointSaved | EpochEnd | TrainingEnded
