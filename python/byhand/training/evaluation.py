"""Data as training takes it, and how good a model is on it."""

from __future__ import annotations

import math
import zlib
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.checks import instance
from byhand.engine.memory import Array
from byhand.models import Model
from byhand.models.images import stack_advice
from byhand.nn.losses import CrossEntropyLoss, Loss, MSELoss

# Images whose outputs and loss are computed at a time, which bounds the memory for outputs.
_IMAGES_AT_A_TIME = 8192

# Probabilities of an image may be off by this much in sum: those of other programs are rounded.
_SUM_TOLERANCE = 1e-3


class Images(Protocol):
    """A data set, such as byhand.data.Dataset."""

    @property
    def images(self) -> NDArray[Any]: ...

    @property
    def labels(self) -> NDArray[Any]: ...


Data = Images | tuple[NDArray[Any], NDArray[Any]]


class Examples(NamedTuple):
    """Checked data. images: (N, C, H, W).

    answers: (N,), the right class, or the right number where the model has one output. targets:
    (N, outputs), what the loss compares with; None where it takes the answers.
    """

    images: NDArray[Any]
    answers: NDArray[Any]
    targets: Array | None

    def checksum(self) -> str:
        """CRC-32 of all bytes: by it a resumed run knows its data again."""
        value = zlib.crc32(self.answers.data, zlib.crc32(self.images.data))
        return f"{value if self.targets is None else zlib.crc32(self.targets.data, value):08x}"


class _Scores(NamedTuple):
    loss: float
    accuracy: float


class Evaluation(_Scores):
    """Mean loss and accuracy, the fraction of right answers: `loss, accuracy = evaluation`.

    The model's answer is its likeliest class; with one output, that number rounded.
    """

    confusion: NDArray[np.int64] | None = None
    """Shape (classes, classes): the number of images of class `row` that the model takes for class
    `column`. None for a model with one output, and in training."""

    @property
    def class_accuracy(self) -> NDArray[np.float64]:
        """The accuracy of each class, (classes,); NaN for a class without images."""
        if self.confusion is None:
            raise ValueError(
                "a model with one output has no classes, so there is no accuracy of each class"
            )
        count = self.confusion.sum(axis=1)
        right = self.confusion.diagonal()
        shares = np.full(len(count), np.nan)
        np.divide(right, count, out=shares, where=count > 0)
        return shares


def default_loss(model: Model) -> Loss:
    """Cross-entropy; squared error for a model with one output, of which the softmax is always 1"""
    return MSELoss() if model.classes == 1 else CrossEntropyLoss()


def check_loss(model: Model, loss: Loss | None) -> Loss:
    """`loss`, or the model's default; TypeError or ValueError where it cannot be the model's."""
    if loss is None:
        return default_loss(model)
    own = isinstance(loss, Loss) and type(loss).run is Loss.run
    if not isinstance(loss, Loss) or (own and type(loss).forward is Loss.forward):
        raise TypeError(
            "loss must be one of byhand.nn.losses, or a subclass of Loss with forward and "
            f"backward, not {loss!r}"
        )
    if model.classes == 1 and not loss.one_hot:
        raise ValueError(f"loss of a model with one output must be MSELoss(), not {loss!r}")
    return loss


def evaluate(model: Model, data: Data, *, loss: Loss | None = None) -> Evaluation:
    """The model's loss and accuracy on data.

    data: as in `Trainer.fit`, with its errors. loss: CrossEntropyLoss() unless given, MSELoss() for
    a model with one output. Raises FloatingPointError where the loss is not finite.
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
    model: Model, data: Examples, loss: Loss, confusion: NDArray[np.int64] | None = None
) -> Evaluation:
    """`evaluate` on checked data; the loss may be NaN or infinite. Adds answers to `confusion`."""
    total, counted, correct = 0.0, 0, 0
    wanted = data.answers if data.targets is None else data.targets
    for start in range(0, len(data.images), _IMAGES_AT_A_TIME):
        part = slice(start, start + _IMAGES_AT_A_TIME)
        output = model.logits(data.images[part])
        correct += count_right_answers(output, data.answers[part])
        if confusion is not None:
            np.add.at(confusion, (data.answers[part], output.argmax(axis=1)), 1)
        rows = loss.counted(wanted[part])
        if rows:  # the mean over no rows is NaN
            value = float(loss.forward(output, wanted[part]))
            total += value * (rows if loss.reduction == "mean" else 1)
            counted += rows
    result = Evaluation(total / counted, correct / len(data.images))
    result.confusion = confusion
    return result


def count_right_answers(output: Array, answers: NDArray[Any]) -> int:
    """The number of rows of a model's output that are right answers."""
    if output.shape[1] == 1:
        return int(np.count_nonzero(np.rint(output[:, 0]) == answers))
    return kernels.count_correct(output, answers)


# --------------------------------------------------------------------------------------------------
# Checks


def check_data(name: str, data: Data, model: Model, loss: Loss) -> Examples:
    """Data as `Trainer.fit` describes it, or an error that says what is wrong with `name`."""
    if isinstance(data, tuple):
        if len(data) != 2:
            raise ValueError(f"{name} must be (images, labels), not {len(data)} things")
        images, labels = data
    elif hasattr(data, "images") and hasattr(data, "labels"):
        images, labels = data.images, data.labels
    else:
        raise TypeError(f"{name} must be a data set or (images, labels), not {type(data).__name__}")
    for what, array in (("images", images), ("labels", labels)):
        if isinstance(array, np.ma.MaskedArray):
            raise TypeError(
                f"{what} of {name} must not be a masked array: choose the rows to use, and give "
                f"{what}.data of them"
            )
    if not isinstance(images, np.ndarray) or images.dtype not in (np.uint8, np.float32):
        raise TypeError(
            f"images of {name} must be a NumPy array of uint8, or of float32 in [0, 1], "
            f"not {_form(images)}{stack_advice(images)}"
        )
    try:
        images = model.check_images(images)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    answers, targets = _check_labels(name, labels, len(images), model, loss)
    if len(images) == 0:
        raise ValueError(f"{name} has no images")
    if loss.counted(answers if targets is None else targets) == 0:
        raise ValueError(f"{loss!r} ignores every label of {name}, so there is nothing to average")
    return Examples(images, answers, targets)


def _check_labels(
    name: str, labels: Any, count: int, model: Model, loss: Loss
) -> tuple[NDArray[Any], Array | None]:
    """Answers and targets of `Examples`."""
    kind = labels.dtype.kind if isinstance(labels, np.ndarray) else ""
    rows = kind == "f" and labels.ndim == 2 and model.classes > 1
    numbers = kind == "f" and model.classes == 1
    if kind not in ("i", "u") and not rows and not numbers:
        raise TypeError(
            f"labels of {name} must be a NumPy array of integers, not {_form(labels)}"
            + _advice(labels, kind, model.classes)
        )
    if labels.shape != ((count, model.classes) if rows else (count,)):
        advice = ": use labels[:, 0]" if labels.shape == (count, 1) else ""
        raise ValueError(f"{name} has {count} images but labels of shape {labels.shape}{advice}")
    labels = np.array(labels)  # another thread may write to the caller's array after the checks
    if rows:
        return _check_rows(name, labels, loss)
    if model.classes == 1:
        values = labels.astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError(f"labels of {name} must be finite in float32")
        return values, values.reshape(count, 1)
    if count and not (labels.min() >= 0 and labels.max() < model.classes):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"labels of {name} must be from 0 to {model.classes - 1}, not {wrong}")
    answers = labels.astype(np.int64, copy=False)
    return answers, np.eye(model.classes, dtype=np.float32)[answers] if loss.one_hot else None


def _advice(labels: Any, kind: str, classes: int) -> str:
    """Advice for labels that are not integers."""
    if kind == "b" or (kind == "f" and (labels == np.floor(labels)).all()):
        return ": use labels.astype(np.int64)"
    if isinstance(labels, list | tuple):
        return ": use np.array(labels)"
    floats = "floats" if classes == 1 else f"float rows of {classes} probabilities"
    return f"; {floats} are possible too"


def _check_rows(name: str, labels: NDArray[Any], loss: Loss) -> tuple[NDArray[Any], Array]:
    """Rows of numbers for a loss that compares numbers, of probabilities for one that does not."""
    rows = np.ascontiguousarray(labels, np.float32)
    if not np.isfinite(rows).all():
        raise ValueError(f"labels of {name} must be finite in float32")
    if not loss.one_hot:
        sums = rows.sum(axis=1)
        wrong = (rows < 0).any(axis=1) | (np.abs(sums - 1) > _SUM_TOLERANCE)
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(
                f"rows of the labels of {name} must be probabilities, from 0 up and 1 in sum, "
                f"not {rows[i].tolist()} in row {i}"
            )
    return rows.argmax(axis=1), rows


def _form(value: object) -> str:
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
