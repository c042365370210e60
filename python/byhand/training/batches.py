"""The batches of the training set. Each is copied into the arrays of a plan.

A plan (`byhand.engine.plan`) is the list of the kernel calls of a network, with all their arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand.engine.plan import Batch, Plan
from byhand.models import Model
from byhand.nn.fusion import fused
from byhand.nn.layer import must_have_gradients
from byhand.nn.losses import Loss, planned
from byhand.nn.module import Module
from byhand.nn.parameter import stream
from byhand.training.checked_data import CheckedData
from byhand.training.evaluation import count_right_answers

BatchScore = tuple[float, int, int]
"""The mean loss of a batch, the number of images in the mean, and the number of wrong answers."""


class TrainingBatch:
    """A batch of n images in the arrays of a plan.

    Parameters
    ----------
    plan : engine.plan.Batch
        The plan for n images. `plan.train(target)` computes the loss and the gradients.
    data : CheckedData
        The training set.
    loss : Loss
        Its method `counted` returns the number of images over which the loss is averaged.
    ignores_labels : bool
        Whether the loss ignores some labels of the training set. If not, `score` does not call
        `loss.counted`, because the loss is averaged over all images.

    Attributes
    ----------
    images : int
        The number n of images.
    answers : ndarray, shape (n,)
        The right class of each image, or the right number if the model has one output.
    target : ndarray, shape (n,) or (n, outputs)
        What the loss compares the network's output with.
    """

    def __init__(self, plan: Batch, data: CheckedData, loss: Loss, ignores_labels: bool) -> None:
        self.plan = plan
        self.images = n = len(plan.input)
        self.answers: NDArray[Any] = np.empty(n, data.answers.dtype)
        self.target: NDArray[Any] = self.answers
        if data.targets is not None:
            self.target = np.empty_like(data.targets[:n])
        self._loss = loss
        self._ignores_labels = ignores_labels

    def score(self, loss: np.float32) -> BatchScore:
        """Score the batch after `plan.train` has run.

        Parameters
        ----------
        loss : float32
            The value that `plan.train` returned.

        Returns
        -------
        loss : float
            The mean loss. It is 0 if the loss ignores every label of the batch.
        counted : int
            The number of images over which the loss is averaged.
        wrong : int
            The number of images for which the model's answer was wrong.
        """
        n = self.images
        counted = self._loss.counted(self.target) if self._ignores_labels else n
        wrong = n - count_right_answers(self.plan.output, self.answers)
        return float(loss) if counted else 0.0, counted, wrong


class TrainingBatches:
    """The training set, divided into batches that one plan computes.

    Parameters
    ----------
    model : Model
        The network. It also has the scale and the offset of the pixels.
    loss : Loss
        The loss, whose gradient the backward pass begins with.
    data : CheckedData
        The training set.
    batch_size : int
        The number of images in a batch. The last batch of an epoch may be smaller.
    max_shift : int
        The largest random shift of an image in pixels: see `kernels.gather_images`.
    seed : int
        Decides the order of the images, their shifts and the draws of dropout.
    device : str
        The device that holds the plan's memory.

    Raises
    ------
    ValueError
        If `max_shift` is not less than the images' size, or an epoch would have a batch that is too
        small for a layer. For example, BatchNorm1d cannot train on a batch of one image.
    TypeError
        If `max_shift` is not 0 and the images are not uint8, or a layer has no backward pass.
    """

    def __init__(
        self,
        model: Model,
        loss: Loss,
        data: CheckedData,
        batch_size: int,
        *,
        max_shift: int,
        seed: int,
        device: str,
    ) -> None:
        self._model = model
        self._loss = loss
        self._data = data
        self._batch_size = batch_size
        self._max_shift, self._seed = max_shift, seed
        images = len(data.images)
        if (side := min(data.images.shape[2:])) <= max_shift:
            raise ValueError(
                f"max_shift must be less than the images' {side} pixels, not {max_shift}"
            )
        if max_shift > 0 and data.images.dtype != np.uint8:
            raise TypeError(f"images of train must be uint8 to be shifted, not {data.images.dtype}")
        must_have_gradients(model)
        smallest = images % batch_size or min(batch_size, images)
        for layer, shape in model.layer_inputs(model.input_shape):
            if smallest < layer.least_batch(shape):
                raise ValueError(
                    f"batch_size {batch_size} divides the {images} images so that one batch has "
                    f"the size {smallest}, too small for {layer!r}: choose another batch size"
                )
        self._ignores_labels = loss.counted(data.wanted) < images
        ops, largest = fused(model.layers()), min(batch_size, images)
        self._plan = Plan(ops, model.input_shape, largest, loss=planned(loss), device=device)
        # The layers that draw random numbers. `begin_step` is called only for these, because the
        # calls for all layers would take a microsecond per step.
        self._drawing = [m for m in model.modules() if type(m).begin_step is not Module.begin_step]
        self._batches: dict[int, TrainingBatch] = {}

    def shuffled(self, epoch: int) -> list[NDArray[np.int64]]:
        """Divide the images into the batches of an epoch, in a random order.

        Parameters
        ----------
        epoch : int
            The number of the epoch, counted from 1. The order depends only on it and on the seed.

        Returns
        -------
        list of ndarray, shape (n,), int64
            The numbers of the images of each batch. `byhand.data.batches` with the same seed yields
            the images in the order of epoch 1.
        """
        order = stream(self._seed, epoch).permutation(len(self._data.images))
        size = self._batch_size
        return [order[start : start + size] for start in range(0, len(order), size)]

    def gather(self, index: NDArray[np.int64], step: int) -> TrainingBatch:
        """Copy images, shifted and scaled, and their labels into the arrays of the plan.

        Parameters
        ----------
        index : ndarray, shape (n,), int64
            The numbers of the images.
        step : int
            The number of this training step, counted from 0. Together with the seed, it decides the
            shifts of the images and the draws of dropout.

        Returns
        -------
        TrainingBatch
            The batch. The next call with the same number of images overwrites it.
        """
        n = len(index)
        batch = self._batches.get(n) or self._new_batch(n)
        self._model.gather(
            self._data.images,
            index,
            batch.plan.input,
            max_shift=self._max_shift,
            seed=self._seed,
            step=step,
        )
        self._data.answers.take(index, out=batch.answers, mode="clip")
        if self._data.targets is not None:
            self._data.targets.take(index, axis=0, out=batch.target, mode="clip")
        for module in self._drawing:
            module.begin_step(self._seed, step)
        return batch

    def _new_batch(self, n: int) -> TrainingBatch:
        batch = TrainingBatch(self._plan.batch(n), self._data, self._loss, self._ignores_labels)
        self._batches[n] = batch
        return batch


def epoch_means(scores: Sequence[BatchScore], images: int) -> tuple[float, float]:
    """Compute the means of an epoch.

    Parameters
    ----------
    scores : sequence of BatchScore
        One per batch.
    images : int
        The number of images in the epoch.

    Returns
    -------
    loss, error : float
        The mean loss, and the fraction of images for which the model's answer was wrong.
    """
    total, total_counted, total_wrong = 0.0, 0, 0
    for loss, counted, wrong in scores:  # sum() rounds differently in different Python versions
        total += loss * counted
        total_counted += counted
        total_wrong += wrong
    return total / total_counted, total_wrong / images
