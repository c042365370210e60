"""The data that training and evaluation take, and their checks."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from byhand.engine.memory import Array
from byhand.models import Model
from byhand.models.images import stack_advice
from byhand.nn.losses import CrossEntropyLoss, Loss, MSELoss

# The sum of an image's probabilities may differ from 1 by this much, because other programs round
# them.
_SUM_TOLERANCE = 1e-3


class _HasImagesAndLabels(Protocol):
    @property
    def images(self) -> NDArray[Any]: ...

    @property
    def labels(self) -> NDArray[Any]: ...


DatasetLike = _HasImagesAndLabels | tuple[NDArray[Any], NDArray[Any]]
"""A `byhand.data.Dataset`, another object with `images` and `labels`, or a pair of arrays."""


class CheckedData(NamedTuple):
    """The arrays of a data set, after all checks.

    Attributes
    ----------
    images : ndarray, shape (N, C, H, W), uint8 or float32
    answers : ndarray, shape (N,)
        The right class of each image, int64, or the right number, float32, if the model has one
        output.
    targets : ndarray, shape (N, outputs), float32, or None
        What the loss compares the network's output with. None if the loss takes `answers`.
    """

    images: NDArray[Any]
    answers: NDArray[Any]
    targets: Array | None

    @property
    def wanted(self) -> NDArray[Any]:
        """What the loss compares the output with: `targets`, or `answers` if there are none."""
        return self.answers if self.targets is None else self.targets

    def part(self, where: slice) -> CheckedData:
        """Return a part of the data, without a copy.

        Parameters
        ----------
        where : slice
            The numbers of the images.
        """
        targets = None if self.targets is None else self.targets[where]
        return CheckedData(self.images[where], self.answers[where], targets)

    def checksum(self) -> str:
        """Compute the CRC-32 of all bytes, by which a resumed run recognizes its data.

        Returns
        -------
        str
            Eight hexadecimal digits.
        """
        value = zlib.crc32(self.answers.data, zlib.crc32(self.images.data))
        return f"{value if self.targets is None else zlib.crc32(self.targets.data, value):08x}"


def check_loss(model: Model, loss: Loss | None) -> Loss:
    """Check that a loss fits a model.

    Parameters
    ----------
    model : Model
    loss : Loss or None
        None stands for CrossEntropyLoss(), or for MSELoss() if the model has one output, whose
        softmax would always be 1.

    Returns
    -------
    Loss
        `loss`, or the one that None stands for.

    Raises
    ------
    TypeError
        If `loss` is not an instance of Loss, or if its class does not define `forward`.
    ValueError
        If the model has one output and the loss compares classes.
    """
    if loss is None:
        return MSELoss() if model.classes == 1 else CrossEntropyLoss()
    # The losses of byhand define `run`. A user's own loss defines `forward` instead.
    has_run = isinstance(loss, Loss) and type(loss).run is not Loss.run
    if not isinstance(loss, Loss) or (not has_run and type(loss).forward is Loss.forward):
        raise TypeError(
            "loss must be one of byhand.nn.losses, or a subclass of Loss with forward and "
            f"backward, not {loss!r}"
        )
    if model.classes == 1 and not loss.one_hot:
        raise ValueError(f"loss of a model with one output must be MSELoss(), not {loss!r}")
    return loss


def check_data(name: str, data: DatasetLike, model: Model, loss: Loss) -> CheckedData:
    """Check that data have the form that `Trainer.fit` describes.

    Parameters
    ----------
    name : str
        The name of the caller's argument, for error messages.
    data : data set or pair (images, labels)
    model : Model
        Decides the shape of the images and the number of classes.
    loss : Loss
        Decides which labels are possible.

    Returns
    -------
    CheckedData

    Raises
    ------
    TypeError, ValueError
        If the data do not fit. The message names what is wrong.
    """
    images, labels = _images_and_labels(name, data)
    if not isinstance(images, np.ndarray) or images.dtype not in (np.uint8, np.float32):
        raise TypeError(
            f"images of {name} must be a NumPy array of uint8, or of float32 in [0, 1], "
            f"not {_form(images)}{stack_advice(images)}"
        )
    try:
        images = model.check_images(images)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    checked = CheckedData(images, *_check_labels(name, labels, len(images), model, loss))
    if len(images) == 0:
        raise ValueError(f"{name} has no images")
    if loss.counted(checked.wanted) == 0:
        raise ValueError(f"{loss!r} ignores every label of {name}, so there is nothing to average")
    return checked


def _images_and_labels(name: str, data: DatasetLike) -> tuple[Any, Any]:
    """Return the two arrays of a data set or a pair. Refuse masked arrays."""
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
    return images, labels


def _check_labels(
    name: str, labels: Any, count: int, model: Model, loss: Loss
) -> tuple[NDArray[Any], Array | None]:
    """Return the answers and targets of `CheckedData`."""
    kind = labels.dtype.kind if isinstance(labels, np.ndarray) else ""
    are_rows = kind == "f" and labels.ndim == 2 and model.classes > 1
    are_numbers = kind == "f" and model.classes == 1
    if kind not in ("i", "u") and not are_rows and not are_numbers:
        raise TypeError(
            f"labels of {name} must be a NumPy array of integers, not {_form(labels)}"
            + _advice(labels, kind, model.classes)
        )
    if labels.shape != ((count, model.classes) if are_rows else (count,)):
        advice = ": use labels[:, 0]" if labels.shape == (count, 1) else ""
        raise ValueError(f"{name} has {count} images but labels of shape {labels.shape}{advice}")
    labels = np.array(labels)  # another thread may write to the caller's array after the checks
    if are_rows:
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
    """Return advice for labels that are not integers."""
    if kind == "b" or (kind == "f" and (labels == np.floor(labels)).all()):
        return ": use labels.astype(np.int64)"
    if isinstance(labels, list | tuple):
        return ": use np.array(labels)"
    floats = "floats" if classes == 1 else f"float rows of {classes} probabilities"
    return f"; {floats} are possible too"


def _check_rows(name: str, labels: NDArray[Any], loss: Loss) -> tuple[NDArray[Any], Array]:
    """Return the answers and targets for labels that are rows of floats, one per class.

    The rows must be probabilities. Only MSELoss takes other numbers.
    """
    rows = np.ascontiguousarray(labels, np.float32)
    if not np.isfinite(rows).all():
        raise ValueError(f"labels of {name} must be finite in float32")
    if not loss.one_hot:
        sums = rows.sum(axis=1)
        wrong = (rows < 0).any(axis=1) | (np.abs(sums - 1) > _SUM_TOLERANCE)
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(
                f"rows of the labels of {name} must be probabilities, not negative and with a sum "
                f"of 1, but row {i} is {rows[i].tolist()}"
            )
    return rows.argmax(axis=1), rows


def _form(value: object) -> str:
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
