"""`Trainer`: epochs over shuffled batches."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import math
import numbers
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand.checks import as_path, flag, instance, integer, number
from byhand.engine.memory import Array
from byhand.files.tensors import FORMAT, tensors_file
from byhand.models import Model
from byhand.models.picture_form import suitable
from byhand.nn.losses import Loss
from byhand.nn.parameter import stream
from byhand.optim import Optimizer
from byhand.optim.averages import WeightAverage, check_decay
from byhand.runtime import get_num_threads
from byhand.training.evaluation import (
    Data,
    Evaluation,
    Examples,
    check_data,
    check_loss,
    measure,
)
from byhand.training.events import (
    BatchEnd,
    CheckpointSaved,
    EpochEnd,
    Evaluated,
    Event,
    StopTraining,
    TrainingEnded,
    TrainingStarted,
)
from byhand.training.history import History
from byhand.training.progress import Progress, watched_stream
from byhand.training.run_folder import Checkpoint, RunFolder
from byhand.training.steps import Steps


class Trainer:
    """Trains a model with an optimizer over its parameters.

    loss: CrossEntropyLoss() unless given, MSELoss() for a model with one output. schedule: step ->
    learning rate, steps counted from 0 over all calls of `fit`; None leaves optimizer.lr as it is.
    handlers: each is called with every event; what one raises ends training, and `StopTraining`
    does so as if the epochs were over. What they change in the optimizer until `Evaluated` is part
    of that epoch's files, so that a resumed run has it. run: a folder for the files of `RunFolder`;
    None writes nothing. keep_epochs: with a run, the model of every epoch as
    epochs/00001.safetensors and so on. notes: JSON-able, kept in the run's config.json.

    ema: the decay of an exponential moving average of the weights (`averages.WeightAverage`). With
    it the average is what is validated and saved, what the model has as its weights from the end
    of an epoch's last batch to the beginning of the next epoch, and when `fit` has returned; its
    own weights go on behind that. Each call of `fit` begins another average.

    Each layer trains in its own mode: a batch norm or dropout on which `eval` was called keeps
    computing as in inference. `fit` warns if that is so for the whole model.

    max_shift: each image of a batch is moved at random by up to so many pixels in each direction
    (`kernels.gather_images`), anew in every step.

    progress: whether `fit` shows its progress, a line per epoch and a running line. True: on stderr
    or in a notebook's output; None: only if that is a terminal or a notebook; False: never.

    Raises TypeError if an argument has the wrong type. Raises ValueError if the optimizer has
    parameters that are not the model's, the loss is not a mean or not the model's, ema is not in
    [0, 1), JSON cannot hold the notes, or the device is not "cpu".
    """

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        *,
        loss: Loss | None = None,
        schedule: Callable[[int], float] | None = None,
        device: str = "cpu",
        handlers: Iterable[Callable[[Event], object]] = (),
        run: str | os.PathLike[str] | None = None,
        notes: Mapping[str, Any] | None = None,
        ema: float | None = None,
        keep_epochs: bool = False,
        max_shift: int = 0,
        progress: bool | None = None,
    ) -> None:
        instance("model", model, Model)
        instance("optimizer", optimizer, Optimizer)
        _check_parameters(optimizer, model)
        if device != "cpu":
            raise ValueError(f"device must be 'cpu', not {device!r}")
        self.model = model
        self.optimizer = optimizer
        self.loss = check_loss(model, loss)
        if self.loss.reduction != "mean":
            raise ValueError(f"loss must have the reduction 'mean', not {self.loss.reduction!r}")
        if schedule is not None and not callable(schedule):
            raise TypeError(f"schedule must be a function of the step, not {schedule!r}")
        self.schedule = schedule
        self.device = device
        if not isinstance(handlers, Iterable):
            raise TypeError(f"handlers must be a list of functions, not {handlers!r}")
        self.handlers = tuple(handlers)
        if not all(map(callable, self.handlers)):
            raise TypeError(f"handlers must be functions, not {list(self.handlers)}")
        self.progress = None if progress is None else flag("progress", progress)
        self._progress: Progress | None = None
        self.run = None if run is None else RunFolder(as_path("run", run))
        self.keep_epochs = flag("keep_epochs", keep_epochs)
        if keep_epochs and run is None:
            raise ValueError("keep_epochs needs a run folder: Trainer(..., run=...)")
        self.notes = {} if notes is None else _checked_notes(notes)
        self.ema = None if ema is None else check_decay(ema)
        self.max_shift = integer("max_shift", max_shift, 0)
        self.step = 0
        self.average: WeightAverage | None = None
        self.stopping = False

    def fit(
        self,
        train: Data,
        *,
        epochs: int,
        batch_size: int = 128,
        validation: Data | None = None,
        choose_by_validation: bool = True,
        seed: int = 0,
        resume: bool = False,
    ) -> History:
        """Train for `epochs` passes over `train`, each in its own order.

        After every epoch the run folder gets model.safetensors, best.safetensors if the validation
        loss is the lowest so far, metrics.jsonl and, last, state.safetensors. No other run may use
        the folder meanwhile. The model has the weights of the last epoch when `fit` returns. If
        `model.pictures` is None, it becomes the way in which pictures of class folders were
        prepared, or that suits the training images (`picture_form.suitable`).

        Parameters
        ----------
        train, validation : data set or pair (images, labels)
            Images (N, H, W) or (N, C, H, W), uint8, or float32 in [0, 1] (pixel / 255), which takes
            four times the memory. Labels: integers (N,) from 0 to classes - 1; or float rows
            (N, classes), probabilities for CrossEntropyLoss and any numbers for MSELoss; or any
            numbers (N,) for a model with one output. CrossEntropyLoss(ignore_index=k) leaves the
            images of class k out of the loss; a label that is no class, such as -100, is refused.
        epochs : int
            The number of epochs, counted from the run's beginning. The last batch of an epoch may
            be smaller. The order of epoch e depends on (seed, e) alone.
        choose_by_validation : bool
            Which epoch of the run counts for `RunFolder.choose`, `byhand.load` and the commands:
            the one with the lowest validation loss, or, if False, the last one. Give False if
            `validation` is the test set: then it is watched and chooses nothing.
        resume : bool
            Go on after the last complete epoch of the run in the folder, whatever ended it; begin
            a run if there is none. The model gets that epoch's weights, and every later bit is the
            same as without the interruption, on the same instruction set. All settings must be what
            they were, except that `epochs` may be another number. A schedule over a number of steps
            (`total_steps`) may then have another number too: the rate goes on where the new
            schedule is after the steps that are done.

        Returns
        -------
        History
            The epochs of the whole run, a list of EpochEnd whose repr is a table.

        Raises
        ------
        TypeError, ValueError
            Before any work, if an argument does not fit. Then the model is as it was. ResumeError,
            a ValueError, if data or settings are not those that the run was begun with.
        FileExistsError, OSError
            Before any work, if the folder holds a trained run (without `resume`) or files of
            others, or is not writable. OSError also later, if a file cannot be written.
        FloatingPointError
            If the loss or the learning rate is not finite.

        Notes
        -----
        Errors, also those of handlers, and interrupts leave the files of the last complete epoch.
        If the process is killed, it leaves them too, unless it is killed between the renames of an
        epoch's files: then some are of the next epoch, each of them whole, and resuming replaces
        them.
        """
        epochs = integer("epochs", epochs, 1)
        batch_size = integer("batch_size", batch_size, 1)
        choose_by_validation = flag("choose_by_validation", choose_by_validation)
        resume = flag("resume", resume)
        data = check_data("train", train, self.model, self.loss)
        held_out = None
        if validation is not None:
            held_out = check_data("validation", validation, self.model, self.loss)
        self._check_shifts(data)
        if resume and self.run is None:
            raise ValueError("resume needs a run folder: Trainer(..., run=...)")
        images = len(data.images)
        started = TrainingStarted(
            model=self.model,
            epochs=epochs,
            batches=-(-images // batch_size),
            batch_size=batch_size,
            images=images,
            validation_images=0 if held_out is None else len(held_out.images),
            run=None if self.run is None else self.run.path,
        )
        stream(seed, 0)  # refuses what is not a seed
        if not self.model.training and any(
            layer.has_modes for layer, _ in self.model.layer_inputs(self.model.input_shape)
        ):
            warnings.warn(
                "the model is in inference mode, so batch normalization and dropout will not act "
                "as in training: call model.train() before fit",
                stacklevel=2,
            )
        steps = Steps(
            *(self.model, self.loss, data, started.batch_size),
            max_shift=self.max_shift,
            seed=seed,
            device=self.device,
        )
        _check_parameters(self.optimizer, self.model)  # a layer's may have been replaced since
        if self.schedule is not None:
            first = 0 if resume else self.step
            for step in (first, first + epochs * started.batches - 1):  # it may refuse many steps
                self._scheduled_rate(step)
        prepared = getattr(getattr(train, "source", None), "pictures", "")
        pictures = self.model.pictures or prepared or suitable(data.images)
        begun: contextlib.AbstractContextManager[Checkpoint | None] = contextlib.nullcontext()
        if self.run is not None:
            config = self._config(started, data, held_out, seed)
            config["model"]["preprocessing"]["pictures"] = pictures
            config["data"] = _source_of(train)
            config["counts"] = "best" if held_out is not None and choose_by_validation else "last"
            begun = self.run.begin(config, resume=resume)
        with begun as checkpoint:
            self.average = self._new_average()
            if checkpoint is not None:
                with checkpoint.restoring():
                    self._restore(checkpoint)
                started = dataclasses.replace(started, history=tuple(checkpoint.history))
                self._note_training(checkpoint.history[-1], started)
            self.model.pictures = pictures
            return self._epochs(started, steps, held_out, seed)

    def _scheduled_rate(self, step: int) -> float:
        assert self.schedule is not None
        return number("the learning rate of the schedule", self.schedule(step))

    def _check_shifts(self, data: Examples) -> None:
        if (side := min(data.images.shape[2:])) <= self.max_shift:
            raise ValueError(
                f"max_shift must be less than the images' {side} pixels, not {self.max_shift}"
            )
        if self.max_shift > 0 and data.images.dtype != np.uint8:
            raise TypeError(f"images of train must be uint8 to be moved, not {data.images.dtype}")

    def _epochs(
        self, started: TrainingStarted, steps: Steps, held_out: Examples | None, seed: int
    ) -> History:
        begin = time.perf_counter()
        history = History(started.history)
        self.stopping = False
        watched = None if self.progress is False else watched_stream()
        output = watched or (sys.stderr if self.progress else None)
        moving = watched is not None
        self._progress = None if output is None else Progress(output, moving=moving)
        try:
            self._train(started, steps, held_out, history, seed)
        finally:
            if self._progress is not None:
                self._progress.close()
        self.tell(TrainingEnded(tuple(history), time.perf_counter() - begin, self.stopping))
        return history

    def _train(
        self,
        started: TrainingStarted,
        steps: Steps,
        held_out: Examples | None,
        history: History,
        seed: int,
    ) -> None:
        """Run the epochs that are left. Each joins the history when it is complete."""
        self.tell(started)
        while len(history) < started.epochs and not self.stopping:
            epoch = len(history) + 1
            start = time.perf_counter()
            order = stream(seed, epoch).permutation(started.images)
            trained = self._pass(epoch, order, steps, started.batch_size)
            if trained is not None:
                seconds = time.perf_counter() - start
                self._end_epoch(epoch, (*trained, seconds), started, held_out, history, seed)
        if self.average is not None:
            self.average.replace_weights()

    def _pass(
        self, epoch: int, order: NDArray[np.int64], steps: Steps, batch_size: int
    ) -> tuple[float, float] | None:
        """Mean loss and error of the epoch's images; None where a handler stopped it."""
        optimizer, average = self.optimizer, self.average
        batches = -(-len(order) // batch_size)
        total, total_counted, total_wrong = 0.0, 0, 0
        for batch in range(1, batches + 1):
            index = order[(batch - 1) * batch_size : batch * batch_size]
            n = len(index)
            loss, counted, wrong = steps.run(index, self.step)
            rate = optimizer.lr
            if self.schedule is not None:
                rate = optimizer.lr = self._scheduled_rate(self.step)
            if not math.isfinite(rate):
                raise FloatingPointError(
                    f"the learning rate is {rate} in batch {batch} of epoch {epoch}"
                )
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} in batch {batch} of epoch {epoch}, at the learning rate "
                    f"{rate:g}: the training has diverged. Try a smaller rate, such as "
                    f"{rate / 10:.2g}; batches of fewer images need a smaller one"
                )
            optimizer.step()
            self.step += 1
            if average is not None:
                average.update()
            total += loss * counted
            total_counted += counted
            total_wrong += wrong
            if self.handlers or self._progress is not None:
                self.tell(BatchEnd(epoch, batch, batches, n, counted, loss, wrong / n, rate))
                if self.stopping:
                    return None
        return total / total_counted, total_wrong / len(order)

    def _end_epoch(
        self,
        epoch: int,
        trained: tuple[float, float, float],
        started: TrainingStarted,
        held_out: Examples | None,
        history: list[EpochEnd],
        seed: int,
    ) -> None:
        """Validation, files and events of an epoch; it joins the history when its files are there.

        trained: its loss, error and seconds.
        """
        loss, error, seconds = trained
        own = None if self.run is None else self.model.state_dict()
        with self._averaged():
            checked = None if held_out is None else self._validate(epoch, held_out)
            earlier = [e.validation_loss for e in history if e.validation_loss is not None]
            end = EpochEnd(
                epoch=epoch,
                epochs=started.epochs,
                loss=loss,
                error=error,
                validation_loss=None if checked is None else checked.loss,
                validation_accuracy=None if checked is None else checked.accuracy,
                lr=float(self.optimizer.lr),
                seconds=seconds,
                images_per_second=started.images / seconds,
                best=checked is not None and checked.loss < min(earlier, default=math.inf),
            )
            self._note_training(end, started)
            if self.run is not None and own is not None:
                self._write(self.run, [*history, end], own, seed, started.batch_size)
            history.append(end)
            if self.run is not None:
                self.tell(CheckpointSaved(epoch, self.run.path, end.best))
            self.tell(end)

    def _note_training(self, end: EpochEnd, started: TrainingStarted) -> None:
        self.model.trained = {
            "epoch": end.epoch,
            "images": started.images,
            "validation_images": started.validation_images,
            "validation_accuracy": end.validation_accuracy,
        }

    def _validate(self, epoch: int, held_out: Examples) -> Evaluation:
        start = time.perf_counter()
        checked = measure(self.model, held_out, self.loss)
        if not math.isfinite(checked.loss):
            raise FloatingPointError(f"the validation loss is {checked.loss} after epoch {epoch}")
        seconds = time.perf_counter() - start
        self.tell(Evaluated(epoch, len(held_out.images), checked.loss, checked.accuracy, seconds))
        return checked

    def tell(self, event: Event) -> None:
        """Call every handler with the event, also where one of them stops the training."""
        shown = () if self._progress is None else (self._progress,)
        for handler in (*self.handlers, *shown):
            try:
                handler(event)
            except StopTraining:
                self.stopping = True

    def _new_average(self) -> WeightAverage | None:
        return None if self.ema is None else WeightAverage(self.model.parameters(), self.ema)

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """The model with the average as its weights, where there is one."""
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.in_place_of_weights()

    # ----------------------------------------------------------------------------------------------
    # The run folder

    def _config(
        self, started: TrainingStarted, data: Examples, held_out: Examples | None, seed: int
    ) -> dict[str, Any]:
        import byhand

        return {
            "format": FORMAT,
            "byhand": byhand.__version__,
            "model": self.model.description(),
            "optimizer": self._optimizer_settings(),
            "schedule": _described(self.schedule),
            "loss": _described(self.loss),
            "ema": self.ema,
            "max_shift": self.max_shift,
            "epochs": started.epochs,
            "batch_size": started.batch_size,
            "seed": int(seed),
            "images": started.images,
            "validation_images": started.validation_images,
            "crc32": {
                "train": data.checksum(),
                "validation": None if held_out is None else held_out.checksum(),
            },
            "threads": get_num_threads(),
            "notes": self.notes,
        }

    def _optimizer_settings(self) -> dict[str, Any]:
        return {"type": type(self.optimizer).__name__, **self.optimizer.settings()}

    def _state(self, own: dict[str, Array]) -> dict[str, Array]:
        """All arrays of the training; own: the model's, with its own weights."""
        parts = {"model": own, "optimizer": self.optimizer.state_dict()}
        if self.average is not None:
            parts["ema"] = self.average.state_dict()
        return {f"{part}.{name}": a for part, arrays in parts.items() for name, a in arrays.items()}

    def _write(
        self,
        run: RunFolder,
        history: list[EpochEnd],
        own: dict[str, Array],
        seed: int,
        batch_size: int,
    ) -> None:
        description = {
            "format": FORMAT,
            "model": self.model.description(),
            "optimizer": self._optimizer_settings(),
            "epoch": history[-1].epoch,
            "step": self.step,
            "averaged": 0 if self.average is None else self.average.updates,
            "seed": int(seed),
            "batch_size": batch_size,
        }
        run.write_epoch(
            history,
            model=self.model.to_bytes(),
            state=tensors_file(self._state(own), description),
            keep=self.keep_epochs,
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Weights, optimizer, average and step as they were at the end of the epoch.

        The model comes last: it stays as it was if the optimizer's state is another one's.
        """
        description = checkpoint.description
        self.optimizer.load_state_dict(checkpoint.part("optimizer"))
        if self.average is not None:
            self.average.load_state_dict(checkpoint.part("ema"), description["averaged"])
        for name, value in description["optimizer"].items():
            if name != "type":  # a handler may have changed them on the way
                setattr(self.optimizer, name, value)
        self.step = description["step"]
        self.model.load_state_dict(checkpoint.part("model"))


def _check_parameters(optimizer: Optimizer, model: Model) -> None:
    if not set(optimizer.parameters) <= set(model.parameters()):
        raise ValueError("optimizer has parameters that are not the model's")


def _source_of(data: Data) -> dict[str, str] | None:
    """The folder and the checksum of a data set that says where it was read from."""
    source = getattr(data, "source", None)
    fields = ("folder", "name", "checksum")
    if not all(isinstance(getattr(source, field, None), str) for field in fields):
        return None
    return {field: getattr(source, field) for field in fields}


def _checked_notes(notes: Any) -> dict[str, Any]:
    """Return the notes as a dict of JSON values. Raise an error if they cannot be that."""
    if not isinstance(notes, Mapping):
        raise TypeError(f"notes must be a dict, not {notes!r}")
    try:
        checked: dict[str, Any] = json.loads(json.dumps(dict(notes), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise type(error)(f"notes must be values that JSON can hold: {error}") from None
    return checked


def _described(value: object) -> Any:
    """Describe a schedule or a loss as JSON that compares by value and in any process.

    An object is described by its class and its public settings, a function by its name.
    """
    settings = {k: v for k, v in getattr(value, "__dict__", {}).items() if not k.startswith("_")}
    if settings and not inspect.isroutine(value):
        return {"type": type(value).__name__, **{k: _described(v) for k, v in settings.items()}}
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return float(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
