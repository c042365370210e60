"""The batches of the training set. Each is copied into the arrays of a plan.

A plan (`byhand.engine.plan`) is the list of the kernel calls of a network, with all their arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from byhand._core import asarray, empty
from byhand.engine.plan import Batch, Plan
from byhand.models import Model
from byhand.nn.fusion import fused
from byhand.nn.layer import must_have_gradients
from byhand.nn.losses import Loss, planned
from byhand.nn.module import Module
from byhand.nn.parameter import stream
from byhand.training.augmentation import Warp
from byhand.training.checked_data import CheckedData
from byhand.training.ranks import ALONE, Ranks


class Part(NamedTuple):
    """The part of an epoch that one batch takes, on the device that trains.

    If several processes train together, the arrays hold the share of this process.

    Attributes
    ----------
    numbers : ndarray, shape (n,), int64
        The numbers of the images in the training set.
    answers : ndarray, shape (n,)
        The right class of each image, or the right number if the model has one output.
    target : ndarray, shape (n,) or (n, outputs)
        What the loss compares the network's output with.
    images : int
        The number of images in the whole batch.
    counted : int
        The number of images in the whole batch over which the loss is averaged. The loss may ignore
        some labels.
    weight : float
        The share of this process in `counted`, from 0 to 1. It is 1 if one process trains alone.
    epoch : int
        The number of the epoch, counted from 1.
    """

    numbers: NDArray[np.int64]
    answers: NDArray[Any]
    target: NDArray[Any]
    images: int
    counted: int
    weight: float
    epoch: int


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
    augment : Warp or None
        How strongly the images are distorted.
    seed : int
        Decides the order of the images, their shifts and distortions, and the draws of dropout.
    device : str
        The device that holds the plan's memory.
    ranks : Ranks
        The processes that train together. Each gets its share of every batch.

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
        augment: Warp | None,
        seed: int,
        device: str,
        ranks: Ranks = ALONE,
    ) -> None:
        self._model = model
        self._ranks = ranks
        self._loss = loss
        self._data = data
        self._batch_size = batch_size
        self._max_shift, self._augment, self._seed = max_shift, augment, seed
        images = len(data.images)
        if (side := min(data.images.shape[2:])) <= max_shift:
            raise ValueError(
                f"max_shift must be less than the images' {side} pixels, not {max_shift}"
            )
        if max_shift > 0 and data.images.dtype != np.uint8:
            raise TypeError(f"images of train must be uint8 to be shifted, not {data.images.dtype}")
        must_have_gradients(model)
        # The sizes of two shares of a batch differ by at most one.
        smallest = max(1, (images % batch_size or min(batch_size, images)) // ranks.size)
        largest = -(-min(batch_size, images) // ranks.size)
        what = "batch" if ranks.size == 1 else f"process of {ranks.size} gets a share that"
        for layer, shape in model.layer_inputs(model.input_shape):
            if smallest < layer.least_batch(shape):
                raise ValueError(
                    f"batch_size {batch_size} divides the {images} images so that one {what} has "
                    f"the size {smallest}, too small for {layer!r}: choose another batch size"
                )
        self._ignores_labels = loss.counted(data.wanted) < images
        ops = fused(model.layers())
        self._plan = Plan(ops, model.input_shape, largest, loss=planned(loss), device=device)
        self._device = device
        # A GPU gathers images of bytes. Others are gathered on the CPU.
        self._has_bytes = data.images.dtype == np.uint8
        self._images = asarray(data.images, device) if self._has_bytes else data.images
        # The images of a batch before their distortion.
        self._plain = None
        if augment is not None:
            self._plain = empty((largest, *model.input_shape), device=device)
        # The layers that draw random numbers. `begin_step` is called only for these, because the
        # calls for all layers would take a microsecond per step.
        self._drawing = [m for m in model.modules() if type(m).begin_step is not Module.begin_step]

    def shuffled(self, epoch: int) -> Iterator[Part]:
        """Divide the images into the batches of an epoch, in a random order.

        Parameters
        ----------
        epoch : int
            The number of the epoch, counted from 1. The order depends only on it and on the seed.

        Yields
        ------
        Part
            One per batch. `byhand.data.batches` with the same seed yields the images in the order
            of epoch 1.
        """
        data, size = self._data, self._batch_size
        order = stream(self._seed, epoch).permutation(len(data.images))
        wanted = data.wanted[order]
        numbers = asarray(order, self._device) if self._has_bytes else order
        target = asarray(wanted, self._device)
        answers = target if data.targets is None else asarray(data.answers[order], self._device)
        for start in range(0, len(order), size):
            images = min(size, len(order) - start)
            share = self._ranks.share(images)
            here = slice(start + share.start, start + share.stop)
            counted = self._counted(wanted[start : start + images])
            weight = 1.0
            if self._ranks.size > 1:
                weight = self._counted(wanted[here]) / max(1, counted)
            yield Part(numbers[here], answers[here], target[here], images, counted, weight, epoch)

    def _counted(self, labels: NDArray[Any]) -> int:
        """Return the number of images with these labels over which the loss is averaged."""
        return self._loss.counted(labels) if self._ignores_labels else len(labels)

    def gather(self, part: Part, step: int) -> Batch:
        """Copy images, shifted, scaled and distorted, into the input of the plan.

        Parameters
        ----------
        part : Part
            The images of the batch.
        step : int
            The number of this training step, counted from 0. Together with the seed, it decides the
            shifts of the images and the draws of dropout. Each process draws other values for
            dropout. The distortion of an image depends on the seed, its number and the epoch
            instead, so it is the same for every batch size.

        Returns
        -------
        engine.plan.Batch
            The plan for this number of images. `train(part.target)` computes the loss and the
            gradients. The next call of `gather` overwrites the images.
        """
        batch = self._plan.batch(len(part.numbers))
        plain = batch.input if self._plain is None else self._plain[: len(part.numbers)]
        self._model.gather(
            self._images,
            part.numbers,
            plain,
            max_shift=self._max_shift,
            seed=self._seed,
            step=step,
        )
        if self._augment is not None:
            # Outside the image is the background: pixel 0, which `gather` turned into the offset.
            self._augment.apply(
                plain,
                asarray(part.numbers, self._device),
                batch.input,
                fill=self._model.offset,
                seed=self._seed,
                epoch=part.epoch,
            )
        # The shift of an image depends on its number, so it is the same in every process. Dropout
        # depends on the place of a value in the batch, so each process needs a number of its own.
        for module in self._drawing:
            module.begin_step(self._seed, step * self._ranks.size + self._ranks.rank)
        return batch
