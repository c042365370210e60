"""Training: epochs over shuffled batches, typed events for whoever shows them, a run folder.

Nothing here prints. A step gathers a batch from the bytes, runs a plan, moves the weights and
tells the handlers; after the first step of each batch size it allocates no array.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.checkpoint import FORMAT, RunFolder, tensors_file
from byhand.engine import Batch, Plan
from byhand.events import BatchEnd, EpochEnd, Event, TrainingEnded, TrainingStarted
from byhand.fusion import fused
from byhand.losses import CrossEntropyLoss, Loss
from byhand.models import Model
from byhand.module import instance, integer, number
from byhand.optim import Optimizer
from byhand.parameters import stream
from byhand.runtime import get_num_threads

__all__ = [
    "BatchEnd",
    "EpochEnd",
    "Evaluation",
    "Event",
    "Trainer",
    "TrainingEnded",
    "TrainingStarted",
    "evaluate",
]

# --------------------------------------------------------------------------------------------------
# Data


class Images(Protocol):
    """A data set, such as byhand.data.Dataset."""

    @property
    def images(self) -> NDArray[np.uint8]: ...

    @property
    def labels(self) -> NDArray[Any]: ...


Data = Images | tuple[NDArray[np.uint8], NDArray[Any]]
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def _check_data(name: str, data: Data, model: Model) -> Arrays:
    """Images (N, C, H, W) and labels, or an error that says what is wrong with `name`."""
    if isinstance(data, tuple):
        if len(data) != 2:
            raise ValueError(f"{name} must be (images, labels), not {len(data)} things")
        images, labels = data
    elif hasattr(data, "images") and hasattr(data, "labels"):
        images, labels = data.images, data.labels
    else:
        raise TypeError(f"{name} must be a data set or (images, labels), not {type(data).__name__}")
    for part, array, kinds in (("images", images, "u"), ("labels", labels, "iu")):
        fits = isinstance(array, np.ndarray) and array.dtype.kind in kinds
        if not fits or (part == "images" and array.dtype != np.uint8):
            form = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            wanted = "uint8" if part == "images" else "integers"
            raise TypeError(f"{part} of {name} must be a NumPy array of {wanted}, not {form}")
    try:
        images = model.check_images(images)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if labels.shape != (len(images),):
        raise ValueError(f"{name} has {len(images)} images but labels of shape {labels.shape}")
    if len(images) == 0:
        raise ValueError(f"{name} has no images")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= model.classes:
        raise ValueError(
            f"labels of {name} must be from 0 to {model.classes - 1}, "
            f"not {low if low < 0 else high}"
        )
    return images, labels.astype(np.int64)


class Evaluation(NamedTuple):
    """Mean loss, and the fraction of images whose likeliest class is their label."""

    loss: float
    accuracy: float


def evaluate(model: Model, data: Data, *, loss: Loss | None = None) -> Evaluation:
    """The model's loss (CrossEntropyLoss unless given) and accuracy on data.

    data: as in `Trainer.fit`, with its errors. Raises FloatingPointError where the loss is not
    finite.
    """
    instance("model", model, Model)
    loss = CrossEntropyLoss() if loss is None else instance("loss", loss, Loss)
    result = _evaluate(model, _check_data("data", data, model), loss)
    if not math.isfinite(result.loss):
        raise FloatingPointError(
            f"the loss is {result.loss}: the model's weights are NaN, infinite or too large"
        )
    return result


def _evaluate(model: Model, data: Arrays, loss: Loss) -> Evaluation:
    images, labels = data
    target = _Target(loss, model.classes)
    total, correct = 0.0, 0
    for part, logits in model.logits(images):
        value = float(loss.forward(logits, target(labels[part])))
        total += value * (len(logits) if loss.reduction == "mean" else 1)
        correct += int(np.count_nonzero(logits.argmax(axis=1) == labels[part]))
    return Evaluation(total / len(images), correct / len(images))


class _Target:
    """Labels as a loss wants them."""

    def __init__(self, loss: Loss, classes: int) -> None:
        self._rows = np.eye(classes, dtype=np.float32) if loss.one_hot else None

    def __call__(
        self, labels: NDArray[np.int64], out: NDArray[np.float32] | None = None
    ) -> NDArray[Any]:
        if self._rows is None:
            return labels
        return np.take(self._rows, labels, axis=0, out=out, mode="clip")


# --------------------------------------------------------------------------------------------------
# Trainer


class Trainer:
    """Trains a model with an optimiser over its parameters.

    loss: CrossEntropyLoss() unless given. schedule: step -> learning rate, steps counted from 0
    over all calls of `fit`; None leaves optimizer.lr as it is. handlers: each is called with every
    event. run: a folder for the files of `RunFolder`; None writes nothing. notes: JSON-able, kept
    in the run's config.json.

    Raises ValueError where the optimiser has parameters that are not the model's, the loss is not
    a mean, or the device is not "cpu".
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
    ) -> None:
        instance("model", model, Model)
        instance("optimizer", optimizer, Optimizer)
        if not set(optimizer.parameters) <= set(model.parameters()):
            raise ValueError("optimizer has parameters that are not the model's")
        if device != "cpu":
            raise ValueError(f"device must be 'cpu', not {device!r}")
        self.model = model
        self.optimizer = optimizer
        self.loss = CrossEntropyLoss() if loss is None else instance("loss", loss, Loss)
        if self.loss.reduction != "mean":
            raise ValueError(f"loss must have the reduction 'mean', not {self.loss.reduction!r}")
        self.schedule = schedule
        self.device = device
        if not isinstance(handlers, Iterable):
            raise TypeError(f"handlers must be a list of functions, not {handlers!r}")
        self.handlers = tuple(handlers)
        if not all(map(callable, self.handlers)):
            raise TypeError(f"handlers must be functions, not {list(self.handlers)}")
        self.run = None if run is None else RunFolder(run)
        self.notes = dict(notes or {})
        self.step = 0

    def fit(
        self,
        train: Data,
        *,
        epochs: int,
        batch_size: int = 128,
        validation: Data | None = None,
        seed: int = 0,
    ) -> list[EpochEnd]:
        """Train for `epochs` passes over `train`, each in its own order, the ragged end included.

        train, validation: a data set or a pair of images, uint8 (N, H, W) or (N, C, H, W), and
        integer labels (N,) from 0 to classes - 1: every image has one, so there is no label for
        CrossEntropyLoss to ignore. The order of epoch e depends on (seed, e) alone.

        After every epoch the run folder gets model.safetensors, best.safetensors where the
        validation loss is the lowest so far, metrics.jsonl and, last, state.safetensors. No other
        run may use the folder meanwhile.

        Before any work: TypeError or ValueError for arguments that do not fit, FileExistsError
        where the folder holds a trained run or files of others, OSError where it is not writable.
        Later: FloatingPointError where the loss or the learning rate is not finite, OSError where
        a file cannot be written. These and what handlers raise leave the files of the last whole
        epoch; so does KeyboardInterrupt, unless it falls between the renames of an epoch's files:
        then some are of the next epoch, each of them whole.
        """
        epochs = integer("epochs", epochs, 1)
        batch_size = integer("batch_size", batch_size, 1)
        data = _check_data("train", train, self.model)
        held_out = None if validation is None else _check_data("validation", validation, self.model)
        images = len(data[0])
        started = TrainingStarted(
            model=self.model,
            epochs=epochs,
            batches=-(-images // batch_size),
            batch_size=batch_size,
            images=images,
            validation_images=0 if held_out is None else len(held_out[0]),
            run=None if self.run is None else self.run.path,
        )
        stream(seed, 0)  # refuses what is not a seed
        if self.schedule is not None:
            self.schedule(self.step + epochs * started.batches - 1)  # refuses too many steps
        if self.run is None:
            return self._epochs(started, data, held_out, seed)
        with self.run.begin(self._config(started, seed)):
            return self._epochs(started, data, held_out, seed)

    def _epochs(
        self, started: TrainingStarted, data: Arrays, held_out: Arrays | None, seed: int
    ) -> list[EpochEnd]:
        self._tell(started)
        begin = time.perf_counter()
        history: list[EpochEnd] = []
        pass_ = _Pass(self, data, started.batch_size)
        for epoch in range(1, started.epochs + 1):
            start = time.perf_counter()
            loss, error = pass_.run(epoch, stream(seed, epoch))
            seconds = time.perf_counter() - start
            checked = None if held_out is None else _evaluate(self.model, held_out, self.loss)
            if checked is not None and not math.isfinite(checked.loss):
                raise FloatingPointError(
                    f"the validation loss is {checked.loss} after epoch {epoch}"
                )
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
            history.append(end)
            if self.run is not None:
                self._write(self.run, history, seed, started.batch_size)
            self._tell(end)
        self._tell(TrainingEnded(tuple(history), time.perf_counter() - begin))
        return history

    def _tell(self, event: Event) -> None:
        for handler in self.handlers:
            handler(event)

    def _config(self, started: TrainingStarted, seed: int) -> dict[str, Any]:
        import byhand

        return {
            "format": FORMAT,
            "byhand": byhand.__version__,
            "model": self.model.description(),
            "optimizer": self._optimizer_settings(),
            "schedule": None if self.schedule is None else repr(self.schedule),
            "loss": repr(self.loss),
            "epochs": started.epochs,
            "batch_size": started.batch_size,
            "seed": int(seed),
            "images": started.images,
            "validation_images": started.validation_images,
            "threads": get_num_threads(),
            "notes": self.notes,
        }

    def _optimizer_settings(self) -> dict[str, Any]:
        return {"type": type(self.optimizer).__name__, **self.optimizer.settings()}

    def _write(self, run: RunFolder, history: list[EpochEnd], seed: int, batch_size: int) -> None:
        model, state = self.model.description(), self.model.state_dict()
        weights = {f"model.{name}": array for name, array in state.items()}
        moving = {f"optimizer.{name}": a for name, a in self.optimizer.state_dict().items()}
        description = {
            "format": FORMAT,
            "model": model,
            "optimizer": self._optimizer_settings(),
            "epoch": history[-1].epoch,
            "step": self.step,
            "seed": int(seed),
            "batch_size": batch_size,
        }
        run.write_epoch(
            [dataclasses.asdict(end) for end in history],
            model=tensors_file(state, model),
            state=tensors_file(weights | moving, description),
        )


class _Pass:
    """One training pass after another over the same data, on one plan."""

    def __init__(self, trainer: Trainer, data: Arrays, batch_size: int) -> None:
        self._trainer = trainer
        self._images, self._labels = data
        self._batch_size = min(batch_size, len(self._labels))
        model = trainer.model
        self._plan = Plan(
            fused(model.layers()),
            model.input_shape,
            self._batch_size,
            loss=trainer.loss,
            device=trainer.device,
        )
        self._target = _Target(trainer.loss, model.classes)
        self._steps: dict[int, _Step] = {}

    def run(self, epoch: int, order: np.random.Generator) -> tuple[float, float]:
        """Mean loss and error of the epoch's images."""
        trainer, model, optimizer = self._trainer, self._trainer.model, self._trainer.optimizer
        shuffled = order.permutation(len(self._labels))
        batches = -(-len(shuffled) // self._batch_size)
        total, total_wrong = 0.0, 0
        for batch in range(1, batches + 1):
            index = shuffled[(batch - 1) * self._batch_size : batch * self._batch_size]
            n = len(index)
            step = self._steps.get(n) or self._new_step(n)
            kernels.gather_images(
                self._images, index, scale=model.scale, offset=model.offset, out=step.batch.input
            )
            self._labels.take(index, out=step.labels, mode="clip")
            loss = float(step.batch.train(self._target(step.labels, step.rows)))
            if trainer.schedule is not None:
                rate = number("the learning rate of the schedule", trainer.schedule(trainer.step))
                optimizer.lr = rate
            if not math.isfinite(optimizer.lr):
                raise FloatingPointError(
                    f"the learning rate is {optimizer.lr} in batch {batch} of epoch {epoch}"
                )
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} in batch {batch} of epoch {epoch}, at the learning rate "
                    f"{optimizer.lr:g}: try a smaller one"
                )
            optimizer.step()
            trainer.step += 1
            wrong = step.wrong()
            total += loss * n
            total_wrong += wrong
            if trainer.handlers:
                event = BatchEnd(epoch, batch, batches, n, loss, wrong / n, optimizer.lr)
                for handler in trainer.handlers:
                    handler(event)
        return total / len(shuffled), total_wrong / len(shuffled)

    def _new_step(self, n: int) -> _Step:
        classes = self._trainer.model.classes
        self._steps[n] = _Step(self._plan.batch(n), n, classes if self._trainer.loss.one_hot else 0)
        return self._steps[n]


class _Step:
    """What a step of n images writes to."""

    def __init__(self, batch: Batch, n: int, columns: int) -> None:
        self.batch = batch
        self.labels = np.empty(n, np.int64)
        self.rows = np.empty((n, columns), np.float32)
        self._likeliest = np.empty(n, np.int64)
        self._hit = np.empty(n, bool)

    def wrong(self) -> int:
        """How many images the batch's output, from before the update, puts in another class."""
        self.batch.output.argmax(axis=1, out=self._likeliest)
        np.equal(self._likeliest, self.labels, out=self._hit)
        return self._hit.size - int(np.count_nonzero(self._hit))
