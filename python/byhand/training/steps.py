"""One step's loss and gradients: examples gathered into a batch, and the network's plan run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand.engine.memory import Array
from byhand.engine.plan import Batch, Plan
from byhand.models import Model
from byhand.nn.fusion import fused
from byhand.nn.layer import must_have_gradients
from byhand.nn.losses import Loss, planned
from byhand.nn.module import Module
from byhand.training.evaluation import Examples, count_right_answers


class Steps:
    """Steps over the same examples, on one plan for batches of up to `batch_size`.

    Raises ValueError if a pass would have a batch that is too small for a layer, as a single image
    is for BatchNorm1d.
    """

    def __init__(
        self,
        model: Model,
        loss: Loss,
        data: Examples,
        batch_size: int,
        *,
        max_shift: int,
        seed: int,
        device: str,
    ) -> None:
        self._model = model
        self._images, self._answers, self._targets = data
        self._max_shift, self._seed = max_shift, seed
        images = len(self._answers)
        must_have_gradients(model)
        smallest = images % batch_size or min(batch_size, images)
        for layer, shape in model.layer_inputs(model.input_shape):
            if smallest < layer.least_batch(shape):
                raise ValueError(
                    f"batch_size {batch_size} makes a batch of {smallest} of {images} images, "
                    f"which is too small for {layer!r}: choose another batch size"
                )
        self._loss = loss
        wanted = self._answers if self._targets is None else self._targets
        self._ignores_labels = loss.counted(wanted) < images
        ops, largest = fused(model.layers()), min(batch_size, images)
        self._plan = Plan(ops, model.input_shape, largest, loss=planned(loss), device=device)
        # In most networks nothing is drawn, and to tell every layer would take a microsecond.
        self._drawing = [m for m in model.modules() if type(m).begin_step is not Module.begin_step]
        self._steps: dict[int, _Step] = {}

    def run(self, index: NDArray[np.int64], number: int) -> tuple[float, int, int]:
        """Mean loss of the examples at `index`, how many it averages, how many answers are wrong.

        If the loss averages none, it is 0. The gradients of all parameters are overwritten. number:
        the number of the step, counted from 0, which decides the shifts and the dropout.
        """
        n = len(index)
        step = self._steps.get(n) or self._new_step(n)
        self._model.gather(
            self._images,
            index,
            step.batch.input,
            max_shift=self._max_shift,
            seed=self._seed,
            step=number,
        )
        self._answers.take(index, out=step.answers, mode="clip")
        if self._targets is not None:
            self._targets.take(index, axis=0, out=step.target, mode="clip")
        for module in self._drawing:
            module.begin_step(self._seed, number)
        loss = float(step.batch.train(step.target))
        counted = self._loss.counted(step.target) if self._ignores_labels else n
        wrong = n - count_right_answers(step.batch.output, step.answers)
        return loss if counted else 0.0, counted, wrong

    def _new_step(self, n: int) -> _Step:
        self._steps[n] = _Step(self._plan.batch(n), n, self._answers, self._targets)
        return self._steps[n]


class _Step:
    """The arrays that a step of n images writes to."""

    def __init__(self, batch: Batch, n: int, answers: NDArray[Any], targets: Array | None) -> None:
        self.batch = batch
        self.answers = np.empty(n, answers.dtype)
        self.target = self.answers if targets is None else np.empty_like(targets[:n])
