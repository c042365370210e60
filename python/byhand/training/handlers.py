"""The handlers that come with byhand: early stopping and a log file.

For example::

    Trainer(model, optimizer, handlers=[LogFile("log.csv"), EarlyStop(patience=3)])

A handler is any callable that takes an event. `byhand.plots.LivePlot` draws curves during the
training.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from byhand.checks import as_path, flag, integer, not_negative
from byhand.files.atomic import open_file, write_atomic
from byhand.models import Model
from byhand.training.events import (
    BatchEnd,
    EpochEnd,
    Event,
    StopTraining,
    TrainingEnded,
    TrainingStarted,
)
from byhand.training.history import RunningMean
from byhand.training.run_folder import RunFolder, load

__all__ = ["EarlyStop", "LogFile"]


class EarlyStop:
    """Ends training after `patience` epochs in a row without a new lowest validation loss.

    Parameters
    ----------
    patience : int
        The number of epochs in a row without a new lowest loss.
    min_delta : float
        A loss counts as a new lowest loss if it is below the previous lowest loss by more than
        this.
    restore_best : bool
        If true, then at the end of the training the model gets the weights of the epoch with the
        lowest validation loss, even if the training was not stopped early. If false, it keeps its
        last weights.

    Raises
    ------
    ValueError
        At the start of the training, if there is no validation set.
    """

    def __init__(
        self, patience: int = 3, *, min_delta: float = 0.0, restore_best: bool = True
    ) -> None:
        self.patience = integer("patience", patience, 1)
        self.min_delta = not_negative("min_delta", min_delta)
        self.restore_best = flag("restore_best", restore_best)
        self._best, self._waited = math.inf, 0
        self._model: Model | None = None
        self._weights: Mapping[str, Any] | None = None
        self._trained: Mapping[str, Any] | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrainingStarted):
            self._start(event)
        elif isinstance(event, EpochEnd):
            self._watch(event)
            if event.best:
                self._keep(self._model)
        elif isinstance(event, TrainingEnded):
            self._restore()
        if isinstance(event, TrainingStarted | EpochEnd) and self._waited >= self.patience:
            raise StopTraining

    def _start(self, event: TrainingStarted) -> None:
        if event.validation_images == 0:
            raise ValueError(
                "EarlyStop watches the validation loss, but fit has no validation set: call "
                "fit(validation=...)"
            )
        self._best, self._waited = math.inf, 0
        self._model, self._weights = event.model, None
        for end in event.history:
            self._watch(end)
        if event.run is not None and any(end.best for end in event.history):
            self._keep(load(RunFolder(event.run).best_path))

    def _watch(self, end: EpochEnd) -> None:
        loss = math.inf if end.validation_loss is None else end.validation_loss
        better = loss < self._best - self.min_delta
        self._best, self._waited = (loss, 0) if better else (self._best, self._waited + 1)

    def _keep(self, model: Model | None) -> None:
        if model is not None and self.restore_best:
            self._weights, self._trained = model.state_dict(), model.trained

    def _restore(self) -> None:
        if self._model is not None and self._weights is not None:
            self._model.load_state_dict(self._weights)
            self._model.trained = self._trained


class LogFile:
    """Writes a line after each epoch and, if wanted, after some batches, as CSV or JSON lines.

    Parameters
    ----------
    path : path
        The file. Its name must end in .csv or .jsonl. An existing file is replaced. If the run is
        resumed, the log continues, without the lines of epochs that are trained again.
    every : int, optional
        Write a line after each batch whose number in the epoch is a multiple of this. For example,
        100 writes a line after the batches 100, 200, and so on. If it is not given, only epochs get
        a line.

    Raises
    ------
    ValueError
        If the name has another ending. Also at the start of a resumed run, if the file exists but
        is not such a log.

    Notes
    -----
    The columns are event ("batch" or "epoch"), epoch, batch, images, lr, loss, error, average_loss,
    average_error, validation_loss, validation_accuracy and seconds.

    In the line of a batch, loss and error belong to this batch, average_loss and average_error are
    the means over the epoch so far, and seconds is the time since the epoch began. In the line of
    an epoch, loss and average_loss are both the mean over the epoch, and so are error and
    average_error. There, seconds is the time of the training steps of the epoch. A column that does
    not apply is empty in CSV and null in JSON.
    """

    COLUMNS = (
        *("event", "epoch", "batch", "images", "lr", "loss", "error"),
        *("average_loss", "average_error", "validation_loss", "validation_accuracy", "seconds"),
    )

    def __init__(self, path: str | os.PathLike[str], *, every: int | None = None) -> None:
        self.path = as_path("path", path)
        if self.path.suffix not in (".csv", ".jsonl"):
            raise ValueError(f"path must end in .csv or .jsonl, not {self.path.name!r}")
        self.every = None if every is None else integer("every", every, 1)
        self._mean = RunningMean()
        self._begin = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrainingStarted):
            self._start(len(event.history))
        elif isinstance(event, BatchEnd):
            self._mean.add(event)
            if self.every is not None and event.batch % self.every == 0:
                self._append("batch", event, self._mean.values(), time.perf_counter() - self._begin)
        elif isinstance(event, EpochEnd):
            self._append("epoch", event, (event.loss, event.error), event.seconds)
            self._mean, self._begin = RunningMean(), time.perf_counter()

    def _start(self, epochs: int) -> None:
        """Begin the log. If it exists, keep only its lines of the first `epochs` epochs."""
        kept = self._rows(epochs) if epochs and self.path.exists() else []
        header = ",".join(self.COLUMNS) + "\n" if self._csv else ""
        write_atomic(self.path, (header + "".join(map(self._line, kept))).encode())
        self._mean, self._begin = RunningMean(), time.perf_counter()

    def _rows(self, epochs: int) -> list[dict[str, Any]]:
        """Return the lines of the first `epochs` epochs as dicts from column to value.

        Raise ValueError if the file is not such a log.
        """
        with open_file(self.path) as file:
            content = file.read()
        try:
            lines = content.decode().splitlines(keepends=True)
            # If the disk was full, the last line may be incomplete.
            lines = [line for line in lines if line.endswith("\n")]
            if self._csv and lines and next(csv.reader(lines)) != list(self.COLUMNS):
                raise ValueError("its first line has other columns")
            rows = list(csv.DictReader(lines) if self._csv else map(json.loads, lines))
            for number, row in enumerate(rows, 1):
                if set(row) != set(self.COLUMNS) or (self._csv and None in row.values()):
                    raise ValueError(f"row {number} has other columns")
            return [row for row in rows if int(row["epoch"]) <= epochs]
        except (TypeError, ValueError, csv.Error, RecursionError) as error:
            raise ValueError(
                f"{self.path} is not the log of this run, so LogFile cannot continue it ({error}): "
                "move it away, or choose another file"
            ) from error

    @property
    def _csv(self) -> bool:
        return self.path.suffix == ".csv"

    def _line(self, row: dict[str, Any]) -> str:
        if not self._csv:
            return json.dumps(row) + "\n"
        line = io.StringIO()
        csv.DictWriter(line, self.COLUMNS, lineterminator="\n").writerow(row)
        return line.getvalue()

    def _append(
        self, name: str, event: BatchEnd | EpochEnd, average: tuple[float, float], seconds: float
    ) -> None:
        known = {
            **asdict(event),
            "event": name,
            "average_loss": average[0],
            "average_error": average[1],
            "seconds": seconds,
        }
        line = self._line({column: known.get(column) for column in self.COLUMNS})
        with open(self.path, "a") as file:  # closed at once, so that readers see whole lines
            file.write(line)
