"""How good a model is on a data set: its mean loss, accuracy and confusion matrix."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand._core import asarray
from byhand.checks import instance
from byhand.engine.memory import Array
from byhand.models import Model
from byhand.nn.losses import Loss
from byhand.training.checked_data import CheckedData, DatasetLike, check_data, check_loss
from byhand.training.ranks import ALONE, Ranks

# The outputs and the loss are computed for this number of images at a time. This bounds the memory
# for the outputs.
_IMAGES_AT_A_TIME = 8192


class _Scores(NamedTuple):
    loss: float
    accuracy: float


class Evaluation(_Scores):
    """How good a model is on a data set. It unpacks as a pair: `loss, accuracy = evaluation`.

    The model's answer for an image is the class with the largest output. If the model has one
    output, the answer is this number, rounded to an integer.

    Parameters
    ----------
    loss : float
        The mean loss over the images.
    accuracy : float
        The fraction of right answers, from 0 to 1.

    Attributes
    ----------
    confusion : ndarray, shape (classes, classes), int64, or None
        Element [i, j] is the number of images of class i for which the model's answer is class j.
        None if the model has one output, or if `Trainer.fit` computed the evaluation.
    """

    confusion: NDArray[np.int64] | None = None

    @property
    def class_accuracy(self) -> NDArray[np.float64]:
        """The accuracy of each class, shape (classes,). NaN for a class without images.

        Raises
        ------
        ValueError
            If the model has one output and so no classes.
        """
        if self.confusion is None:
            raise ValueError(
                "a model with one output has no classes, so there is no accuracy of each class"
            )
        count = self.confusion.sum(axis=1)
        right = self.confusion.diagonal()
        shares = np.full(len(count), np.nan)
        np.divide(right, count, out=shares, where=count > 0)
        return shares


def evaluate(model: Model, data: DatasetLike, *, loss: Loss | None = None) -> Evaluation:
    """Compute a model's loss and accuracy on a data set.

    Parameters
    ----------
    model : Model
    data : data set or pair (images, labels)
        As in `Trainer.fit`.
    loss : Loss, optional
        If it is not given, it is MSELoss() for a model with one output, and CrossEntropyLoss() for
        any other model.

    Returns
    -------
    Evaluation

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit: see `Trainer.fit`.
    FloatingPointError
        If the loss is not finite.
    """
    instance("model", model, Model)
    loss = check_loss(model, loss)
    confusion = None
    if model.classes > 1:
        confusion = np.zeros((model.classes, model.classes), np.int64)
    result = measure(model, check_data("data", data, model, loss), loss, confusion)
    if not math.isfinite(result.loss):
        raise FloatingPointError(
            f"the loss is {result.loss}: the model's weights are NaN, infinite or too large"
        )
    return result


def measure(
    model: Model,
    data: CheckedData,
    loss: Loss,
    confusion: NDArray[np.int64] | None = None,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Evaluate a model on checked data.

    Parameters
    ----------
    model : Model
    data : CheckedData
    loss : Loss
    confusion : ndarray, shape (classes, classes), int64, optional
        The number of images for each pair of right class and answer is added to this array: see
        the attribute `confusion` of `Evaluation`.
    ranks : Ranks
        The processes that evaluate together. Each takes its share of the images, and gets the
        result for all images.

    Returns
    -------
    Evaluation
        The result. Its loss may be NaN or infinite.
    """
    images, data = len(data.images), data.part(ranks.share(len(data.images)))
    total, counted, correct = 0.0, 0, 0
    for start in range(0, len(data.images), _IMAGES_AT_A_TIME):
        part = slice(start, start + _IMAGES_AT_A_TIME)
        output, target = model.logits(data.images[part]), data.wanted[part]
        correct += count_right_answers(output, data.answers[part])
        if confusion is not None:
            np.add.at(confusion, (data.answers[part], output.argmax(axis=1)), 1)
        rows = loss.counted(target)
        if rows:  # the mean over no rows is NaN
            value = float(loss.forward(output, target))
            total += value * (rows if loss.reduction == "mean" else 1)
            counted += rows
    total, counted, correct = ranks.sum((total, counted, correct)).tolist()
    result = Evaluation(total / counted, correct / images)
    result.confusion = confusion
    return result


def count_right_answers(output: Array, answers: NDArray[Any]) -> int:
    """Count the images for which a network's output is the right answer.

    Parameters
    ----------
    output : ndarray, shape (N, outputs), float32
    answers : ndarray, shape (N,)
        The right classes, int64, or the right numbers, float32, if there is one output.

    Returns
    -------
    int
        If `output` is on a GPU and has several columns, a DeviceArray without dimensions.
    """
    if output.shape[1] == 1:
        output, answers = asarray(output), asarray(answers)  # NumPy compares on the CPU
        return int(np.count_nonzero(np.rint(output[:, 0]) == answers))
    return kernels.count_correct(output, answers)
