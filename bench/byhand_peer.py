"""byhand, as a contender."""

from __future__ import annotations

import itertools
from typing import Any

import byhand
import numpy as np
from byhand import kernels
from byhand.bench.cases import Case
from byhand.bench.inference import Inference
from byhand.bench.sampling import Calls, Clock, KernelJob, Sample
from byhand.bench.tasks import Attempt, Course, Index, Mark, Task, Tell, Training
from byhand.data import Dataset, load_folder
from byhand.engine.plan import Plan
from byhand.models import Model
from byhand.nn.fusion import fused
from byhand.optim import SGD
from byhand.training import BatchEnd, EpochEnd, Event, StopTraining, Trainer
from numpy.typing import NDArray


class Peer:
    version = f"byhand {byhand.__version__}"

    def __init__(self, threads: int) -> None:
        byhand.set_num_threads(threads)

    def kernel(self, case: Case, batch: int) -> KernelJob:
        return KernelJob(getattr(kernels, case.op), case, batch)

    def training(self, task: Task) -> ByhandTraining:
        return ByhandTraining(task)

    def inference(self, inference: Inference) -> Calls:
        """Return the plan that `Model.predict` runs. Each call copies the images into it."""
        images, model = inference.images(), inference.start()
        batch = Plan(fused(model.layers()), model.input_shape, len(images)).batch(len(images))

        def call() -> Any:
            np.copyto(batch.input, images)
            return batch.forward()

        return Calls(call)

    def learn(self, course: Course, tell: Tell) -> list[NDArray[np.float32]]:
        """Train, and return all weights."""

        def watch(event: Event) -> None:
            if isinstance(event, EpochEnd) and event.validation_accuracy is not None:
                tell(event.validation_accuracy)

        train, test = load_folder(course.folder)
        model, recipe = course.start(), course.recipe
        trainer = recipe.trainer(model, len(train), handlers=[watch], progress=False)
        trainer.fit(
            train,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            validation=test,
            seed=course.seed,
        )
        return [parameter.data for parameter in model.parameters()]

    def attempt(self, attempt: Attempt, mark: Mark) -> float:
        """Train by the recipe of a record, and return the accuracy on the test set."""
        train, test = load_folder(attempt.folder)
        model, recipe = attempt.start(), attempt.recipe
        trainer = recipe.trainer(model, len(train), progress=False)
        mark()
        trainer.fit(train, epochs=recipe.epochs, batch_size=recipe.batch_size, seed=attempt.seed)
        mark()
        return accuracy(model, test, attempt.average_shifts)


def accuracy(model: Model, data: Dataset, average_shifts: int = 0) -> float:
    """Return the fraction of right answers.

    Parameters
    ----------
    average_shifts : int
        If it is not 0, the answer for an image is the class with the largest mean probability over
        all its shifts by up to this number of pixels, vertically and horizontally. Pixels from
        outside the image are 0.
    """
    if not average_shifts:
        return float(model.evaluate(data).accuracy)
    height, width = data.images.shape[-2:]
    border = (average_shifts, average_shifts)
    padded = np.pad(data.images, ((0, 0), border, border))
    shifts = itertools.product(range(2 * average_shifts + 1), repeat=2)
    views = (padded[:, top : top + height, left : left + width] for top, left in shifts)
    probabilities = sum(model.predict_proba(np.ascontiguousarray(view)) for view in views)
    return float(np.mean(np.argmax(probabilities, axis=1) == data.labels))


class ByhandTraining(Training):
    """Training by `Trainer.fit`, on images that are stored as bytes."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._images, self._labels = task.load_bytes(), task.load_labels()
        self._model = task.start()
        self._optimizer = SGD(self._model.parameters(), **task.sgd)

    def first(self, index: Index) -> float:
        trainer = Trainer(self._model, self._optimizer, progress=False)
        data = self._images[index], self._labels[index]
        return trainer.fit(data, epochs=1, batch_size=len(index))[0].loss

    def weights(self) -> list[NDArray[np.float32]]:
        return [parameter.data for parameter in self._model.parameters()]

    def epoch(self, number: int, steps: int | None) -> Sample:
        clock = Clock()
        samples: list[Sample] = []
        images = 0

        def watch(event: Event) -> None:
            nonlocal images
            if not isinstance(event, BatchEnd):
                return
            if event.batch == 1:
                clock.start()
                return
            images += event.images
            if event.batch == event.batches or event.batch - 1 == steps:
                samples.append(clock.stop(images, event.batch - 1))
                raise StopTraining

        trainer = Trainer(self._model, self._optimizer, handlers=[watch], progress=False)
        data: Any = self._images, self._labels
        trainer.fit(data, epochs=1, batch_size=self.task.batch, seed=number)
        if not samples:
            raise ValueError(
                f"{self.task.count} images are only one batch, without a second step to time"
            )
        return samples[0]
