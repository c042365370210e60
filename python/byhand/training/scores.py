"""The scores of the batches of an epoch: their losses and their wrong answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from byhand._core import asarray
from byhand.engine.memory import assign, host_copy
from byhand.training.batches import Part
from byhand.training.events import BatchEnd

# The number of batches whose losses are copied from a GPU together. The CPU waits for the GPU at
# each copy, and the GPU then waits for the next kernel. With a larger number they wait less often,
# but the events of the batches come later. No speed was measured.
_AT_ONCE = 16


class BatchScore(NamedTuple):
    """The score of a batch.

    Attributes
    ----------
    batch : int
        The number of the batch in the epoch, counted from 1.
    images : int
        The number of images in the batch.
    loss : float
        The mean loss. It is 0 if the loss ignores every label of the batch.
    counted : int
        The number of images over which the loss is averaged.
    wrong : int
        The number of images for which the model's answer was wrong.
    lr : float
        The learning rate.
    """

    batch: int
    images: int
    loss: float
    counted: int
    wrong: int
    lr: float

    def event(self, epoch: int, batches: int) -> BatchEnd:
        """Return the event for the handlers.

        Parameters
        ----------
        epoch : int
            The number of the epoch.
        batches : int
            The number of batches in an epoch.
        """
        error = self.wrong / self.images
        return BatchEnd(
            *(epoch, self.batch, batches, self.images, self.counted, self.loss, error, self.lr)
        )


class EpochScores:
    """Collects the scores of an epoch.

    On the CPU, the score of a batch is known after its training step. A GPU may not even have begun
    the step then. So the losses stay in its memory, and those of several batches are read together.

    Parameters
    ----------
    device : str
        The device that trains.

    Attributes
    ----------
    known : list of BatchScore
        The scores that have been read.
    """

    def __init__(self, device: str) -> None:
        self.known: list[BatchScore] = []
        self._waiting: list[tuple[int, Part, float]] = []
        self._device = device
        if device != "cpu":
            self._losses = asarray(np.zeros(_AT_ONCE, np.float32), device)
            self._right = asarray(np.zeros(_AT_ONCE, np.int64), device)

    def add(
        self,
        number: int,
        part: Part,
        loss: np.float32,
        right: int,
        lr: float,
        *,
        last: bool,
    ) -> list[BatchScore]:
        """Add a batch after its training step.

        Parameters
        ----------
        number : int
            The number of the batch in the epoch, counted from 1.
        part : Part
            The images of the batch.
        loss : float32
            The mean loss over the batch, as `Ranks.combine` returns it. On a GPU, it is an array.
        right : int
            The number of right answers in the batch, as `Ranks.combine` returns it. On a GPU, it is
            an array.
        lr : float
            The learning rate of the step.
        last : bool
            Whether this is the last batch of the epoch.

        Returns
        -------
        list of BatchScore
            The scores that have become known.
        """
        if self._device == "cpu":
            found = [_score(number, part, float(loss), right, lr)]
        else:
            i = len(self._waiting)
            assign(self._losses[i], loss)
            assign(self._right[i], right)
            self._waiting.append((number, part, lr))
            if i + 1 < _AT_ONCE and not last:
                return []
            losses, rights = host_copy(self._losses), host_copy(self._right)
            found = [
                _score(number, part, float(losses[i]), int(rights[i]), lr)
                for i, (number, part, lr) in enumerate(self._waiting)
            ]
            self._waiting = []
        self.known += found
        return found


def _score(number: int, part: Part, loss: float, right: int, lr: float) -> BatchScore:
    n, counted = part.images, part.counted
    return BatchScore(number, n, loss if counted else 0.0, counted, n - right, lr)


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
    for score in scores:  # sum() rounds differently in different Python versions
        total += score.loss * score.counted
        total_counted += score.counted
        total_wrong += score.wrong
    return total / total_counted, total_wrong / images
