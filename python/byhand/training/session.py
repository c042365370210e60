"""Check the arguments of `Trainer` and `Trainer.fit`, and prepare a call of `fit`."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from byhand._core import __version__
from byhand.checks import as_path, flag, instance, integer, number
from byhand.files.tensors import FORMAT
from byhand.models import Model
from byhand.models.picture_form import suitable
from byhand.nn.losses import Loss
from byhand.nn.parameter import stream
from byhand.optim import Optimizer
from byhand.optim.averages import WeightAverage, check_decay
from byhand.runtime import get_num_threads
from byhand.training.augmentation import Warp
from byhand.training.batches import TrainingBatches
from byhand.training.checked_data import CheckedData, DatasetLike, check_data, check_loss
from byhand.training.events import Event, TrainingStarted
from byhand.training.progress import Progress
from byhand.training.ranks import ALONE, Ranks
from byhand.training.run_folder import RunFolder
from byhand.training.run_settings import (
    check_notes,
    describe,
    describe_optimizer,
    describe_source,
)


@dataclasses.dataclass
class Session:
    """One call of `fit`: its arguments after all checks, and the objects made from them.

    Attributes
    ----------
    started : TrainingStarted
        The first event. It has the number of epochs and the sizes of the batches and the data.
    batches : TrainingBatches
        Divides the training set into batches.
    validation : CheckedData or None
        The validation set.
    seed : int
        The seed that `fit` got.
    pictures : {"digits", "plain"}
        How the trained model will prepare pictures for prediction.
    config : dict of JSON values
        The content of config.json. Empty if there is no run folder and one process trains alone.
    """

    started: TrainingStarted
    batches: TrainingBatches
    validation: CheckedData | None
    seed: int
    pictures: str
    config: dict[str, Any] = dataclasses.field(default_factory=dict)


class TrainerSettings:
    """The base class of `Trainer`. It checks the settings and the arguments of `fit`.

    Parameters
    ----------
    model : Model
    optimizer : Optimizer
    loss : Loss, optional
    schedule : callable, optional
    device : {"cpu", "cuda"}, optional
    handlers : iterable of callables
    run : path, optional
    notes : mapping, optional
    ema : float, optional
    keep_epochs : bool
    max_shift : int
    augment : Warp, optional
    progress : bool, optional
    ranks : Ranks
        See `Trainer` for these parameters.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        *,
        loss: Loss | None = None,
        schedule: Callable[[int], float] | None = None,
        device: str | None = None,
        handlers: Iterable[Callable[[Event], object]] = (),
        run: str | os.PathLike[str] | None = None,
        notes: Mapping[str, Any] | None = None,
        ema: float | None = None,
        keep_epochs: bool = False,
        max_shift: int = 0,
        augment: Warp | None = None,
        progress: bool | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        instance("model", model, Model)
        instance("optimizer", optimizer, Optimizer)
        _check_parameters(optimizer, model)
        self.model = model
        self.optimizer = optimizer
        self.loss = check_loss(model, loss)
        if self.loss.reduction != "mean":
            raise ValueError(f"loss must have the reduction 'mean', not {self.loss.reduction!r}")
        if schedule is not None and not callable(schedule):
            raise TypeError(f"schedule must be a function of the step, not {schedule!r}")
        self.schedule = schedule
        self._wanted_device = device
        self.device = model.device if device is None else device
        if not isinstance(handlers, Iterable):
            raise TypeError(f"handlers must be a list of functions, not {handlers!r}")
        self.handlers = tuple(handlers)
        if not all(map(callable, self.handlers)):
            raise TypeError(f"handlers must be functions, not {list(self.handlers)}")
        self.progress = None if progress is None else flag("progress", progress)
        self._progress: Progress | None = None
        self._has_run = run is not None
        self.run = None if run is None else RunFolder(as_path("run", run))
        self.ranks = instance("ranks", ranks, Ranks)
        if not self.ranks.is_first:  # process 0 alone writes files, prints and calls handlers
            self.handlers, self.progress, self.run = (), False, None
        self.keep_epochs = flag("keep_epochs", keep_epochs)
        if keep_epochs and run is None:
            raise ValueError("keep_epochs needs a run folder: Trainer(..., run=...)")
        self.notes = {} if notes is None else check_notes(notes)
        self.ema = None if ema is None else check_decay(ema)
        self.max_shift = integer("max_shift", max_shift, 0)
        if augment is not None:
            instance("augment", augment, Warp)
        self.augment = augment
        self.step = 0
        self.average: WeightAverage | None = None
        self.stopping = False
        model.to(self.device)

    def _prepare(
        self,
        train: DatasetLike,
        validation: DatasetLike | None,
        epochs: int,
        batch_size: int,
        choose_by_validation: bool,
        seed: int,
        resume: bool,
    ) -> Session:
        """Check the arguments of `fit` and prepare everything that it needs.

        Parameters
        ----------
        train : data set or pair (images, labels)
        validation : data set or pair (images, labels), or None
        epochs : int
        batch_size : int
        choose_by_validation : bool
        seed : int
        resume : bool
            See `Trainer.fit` for these parameters.

        Returns
        -------
        Session

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit.
        """
        epochs = integer("epochs", epochs, 1)
        batch_size = integer("batch_size", batch_size, 1)
        # The model may have moved since __init__.
        self.device = self._wanted_device or self.model.device
        self.model.to(self.device)
        if self.ranks.size > 1 and self.device != "cpu":
            raise ValueError(
                f"device must be 'cpu' if {self.ranks.size} processes train together, not "
                f"{self.device!r}"
            )
        choose_by_validation = flag("choose_by_validation", choose_by_validation)
        resume = flag("resume", resume)
        data = check_data("train", train, self.model, self.loss)
        held_out = None
        if validation is not None:
            held_out = check_data("validation", validation, self.model, self.loss)
        if resume and not self._has_run:
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
        stream(seed, 0)  # raises an error if the seed is not valid
        self._warn_of_inference_mode()
        batches = TrainingBatches(
            *(self.model, self.loss, data, batch_size),
            max_shift=self.max_shift,
            augment=self.augment,
            seed=seed,
            device=self.device,
            ranks=self.ranks,
        )
        _check_parameters(self.optimizer, self.model)  # layers may have changed since __init__
        self._check_schedule(0 if resume else self.step, epochs * started.batches)
        prepared = getattr(getattr(train, "source", None), "pictures", "")
        pictures = self.model.pictures or prepared or suitable(data.images)
        session = Session(started, batches, held_out, seed, pictures)
        if self.run is not None or self.ranks.size > 1:
            counts = "best" if held_out is not None and choose_by_validation else "last"
            session.config = self._config(session, data, train, counts)
        return session

    def _warn_of_inference_mode(self) -> None:
        if not self.model.training and any(
            layer.has_modes for layer, _ in self.model.layer_inputs(self.model.input_shape)
        ):
            warnings.warn(
                "the model is in inference mode, so batch normalization and dropout will not act "
                "as in training: call model.train() before fit",
                stacklevel=4,
            )

    def _check_schedule(self, first: int, count: int) -> None:
        """Check the learning rates of the first and the last of `count` steps.

        `first` is the number of the first step. A schedule may raise an error for one of the two.
        For example, `OneCycle` does so if the last step is beyond its `total_steps`.
        """
        if self.schedule is not None:
            for step in (first, first + count - 1):
                self._scheduled_rate(step)

    def _scheduled_rate(self, step: int) -> float:
        assert self.schedule is not None
        return number("the learning rate of the schedule", self.schedule(step))

    def _config(
        self, session: Session, data: CheckedData, train: DatasetLike, counts: str
    ) -> dict[str, Any]:
        """Return the content of config.json: all settings as JSON values.

        `counts` says which epoch is the result of the run, "best" or "last".
        """
        started, validation = session.started, session.validation
        model = self.model.description()
        model["preprocessing"]["pictures"] = session.pictures
        return {
            "format": FORMAT,
            "byhand": __version__,
            "model": model,
            "optimizer": describe_optimizer(self.optimizer),
            "schedule": describe(self.schedule),
            "loss": describe(self.loss),
            "ema": self.ema,
            "max_shift": self.max_shift,
            "augment": None if self.augment is None else self.augment.strengths(),
            "epochs": started.epochs,
            "batch_size": started.batch_size,
            "seed": int(session.seed),
            "images": started.images,
            "validation_images": started.validation_images,
            "crc32": {
                "train": data.checksum(),
                "validation": None if validation is None else validation.checksum(),
            },
            "device": self.device,
            "threads": get_num_threads(),
            "processes": self.ranks.size,
            "notes": self.notes,
            "data": describe_source(train),
            "counts": counts,
        }


def _check_parameters(optimizer: Optimizer, model: Model) -> None:
    if not set(optimizer.parameters) <= set(model.parameters()):
        raise ValueError("optimizer has parameters that are not the model's")
