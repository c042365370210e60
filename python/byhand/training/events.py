"""The events that `Trainer.fit` sends to its handlers, and the exception that ends the training.

Epochs and batches are counted from 1. Errors and accuracies are fractions from 0 to 1. The order of
the events is::

    TrainingStarted
    for each epoch:
        BatchEnd          after each batch
        Evaluated         if there is a validation set
        CheckpointSaved   if there is a run folder
        EpochEnd
    TrainingEnded
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from byhand.models import Model


class StopTraining(Exception):
    """The exception that a handler raises to end the training.

    The other handlers still get the current event. If the exception is raised at `BatchEnd`, the
    rest of the epoch is left out, and neither the history nor the run folder gets the epoch. If it
    is raised at `Evaluated` or `CheckpointSaved`, the epoch is completed first. In every case,
    `fit` finally sends `TrainingEnded` and returns.
    """


@dataclass(frozen=True)
class TrainingStarted:
    """Sent before the first epoch.

    Attributes
    ----------
    model : Model
        The model that is trained.
    epochs : int
        The number of epochs of the whole run.
    batches : int
        The number of batches in an epoch.
    batch_size : int
        The number of images in a batch. The last batch of an epoch may be smaller.
    images : int
        The number of training images.
    validation_images : int
        The number of validation images. 0 if there is no validation set.
    run : Path or None
        The run folder.
    history : tuple of EpochEnd
        The epochs that a resumed run has completed. Empty for a new run.
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
    """Sent after each training step: one batch, one update of the weights.

    Attributes
    ----------
    epoch : int
        The number of the epoch.
    batch : int
        The number of the batch in the epoch.
    batches : int
        The number of batches in an epoch.
    images : int
        The number of images in the batch.
    counted : int
        The number of images over which the loss is averaged. It is less than `images` if the loss
        ignores the labels of some images.
    loss : float
        The mean loss of the batch, computed before the update.
    error : float
        The fraction of wrong answers in the batch, computed before the update.
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
    """Sent after the validation at the end of an epoch.

    Attributes
    ----------
    epoch : int
        The number of the epoch.
    images : int
        The number of validation images.
    loss : float
        The mean loss over the validation images.
    accuracy : float
        The fraction of right answers.
    seconds : float
        The time of the validation.
    """

    epoch: int
    images: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class CheckpointSaved:
    """Sent when the files of an epoch are in the run folder.

    Attributes
    ----------
    epoch : int
        The number of the epoch.
    run : Path
        The run folder.
    best : bool
        Whether best.safetensors has the model of this epoch.
    """

    epoch: int
    run: Path
    best: bool


@dataclass(frozen=True)
class EpochEnd:
    """Sent at the end of an epoch, after its validation and after its files are written.

    Attributes
    ----------
    epoch : int
        The number of the epoch.
    epochs : int
        The number of epochs of the whole run.
    loss : float
        The mean loss over the training images. The loss of an image is computed in the training
        step of its batch, before the update. The weights therefore differ from batch to batch.
    error : float
        The fraction of wrong answers for the training images, computed in the same steps.
    validation_loss : float or None
        The mean loss over the validation images. None if there is no validation set.
    validation_accuracy : float or None
        The fraction of right answers for the validation images.
    lr : float
        The learning rate of the last step.
    seconds : float
        The time of the training steps, without validation and without writing files.
    images_per_second : float
        The number of training images divided by `seconds`.
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
    """Sent after the last epoch or after `StopTraining`, but not if an error ends the training.

    Attributes
    ----------
    history : tuple of EpochEnd
        The epochs of the whole run.
    seconds : float
        The time of this call of `fit`, from `TrainingStarted` on, including validation.
    stopped : bool
        Whether a handler raised `StopTraining`.
    """

    history: tuple[EpochEnd, ...]
    seconds: float
    stopped: bool = False


Event = TrainingStarted | BatchEnd | Evaluated | CheckpointSaved | EpochEnd | TrainingEnded
