"""A handler that writes the curves of a training for TensorBoard."""

from __future__ import annotations

import os
from typing import Any

from byhand.checks import as_path, integer, needs_extra
from byhand.training import BatchEnd, EpochEnd, Event, TrainingEnded, TrainingStarted


class TensorBoard:
    """A handler that writes curves which `tensorboard --logdir FOLDER` shows.

    After each epoch it writes loss/training, error/training, loss/validation, accuracy/validation,
    lr and images_per_second, over the number of the epoch. It needs the extra byhand[tensorboard].

    Parameters
    ----------
    folder : path
        The folder for the files of TensorBoard. A resumed run adds a file to it.
    every : int, optional
        Also write batch/loss, batch/error and batch/lr after every batch whose number in the epoch
        is a multiple of this, over the number of the training step.

    Raises
    ------
    ModuleNotFoundError
        If the package tensorboard is not installed.
    OSError
        If the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str], *, every: int | None = None) -> None:
        self.folder = as_path("folder", folder)
        self.every = None if every is None else integer("every", every, 1)
        try:
            from tensorboard.summary import Writer
        except ModuleNotFoundError as error:
            raise needs_extra(error, "byhand.plots.TensorBoard", "tensorboard") from None
        self.folder.mkdir(parents=True, exist_ok=True)
        self._new_writer = Writer
        self._writer: Any = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrainingStarted):
            self._writer = self._new_writer(str(self.folder))
        elif isinstance(event, BatchEnd):
            if self.every is not None and event.batch % self.every == 0:
                step = (event.epoch - 1) * event.batches + event.batch
                values = {"loss": event.loss, "error": event.error, "lr": event.lr}
                self._write({f"batch/{name}": value for name, value in values.items()}, step)
        elif isinstance(event, EpochEnd):
            self._write(
                {
                    "loss/training": event.loss,
                    "error/training": event.error,
                    "loss/validation": event.validation_loss,
                    "accuracy/validation": event.validation_accuracy,
                    "lr": event.lr,
                    "images_per_second": event.images_per_second,
                },
                event.epoch,
            )
            self._writer.flush()  # so that TensorBoard shows the epoch now
        elif isinstance(event, TrainingEnded):
            self._writer.close()

    def _write(self, values: dict[str, float | None], step: int) -> None:
        for tag, value in values.items():
            if value is not None:  # without a validation set
                self._writer.add_scalar(tag, value, step)
