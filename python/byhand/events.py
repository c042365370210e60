"""What training tells its handlers.

Epochs and batches count from 1; errors and accuracies are fractions from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from byhand.models import Model


@dataclass(frozen=True)
class TrainingStarted:
    """Before the first epoch. batches: in an epoch; validation_images: 0 without validation."""

    model: Model
    epochs: int
    batches: int
    batch_size: int
    images: int
    validation_images: int
    run: Path | None


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """After the update of one batch of `images`; loss and error are those before the update."""

    epoch: int
    batch: int
    batches: int
    images: int
    loss: float
    error: float
    lr: float


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
    """After the last epoch; seconds: of all epochs with their validation."""

    history: tuple[EpochEnd, ...]
    seconds: float


Event = TrainingStarted | BatchEnd | EpochEnd | TrainingEnded
