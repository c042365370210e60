"""Losses: functions of a prediction and a target, which training minimises.

For example::

    loss = CrossEntropyLoss()
    value = loss(logits, labels)  # the mean loss of the batch
    grad = loss.backward()  # the gradient of the loss with respect to the logits

A training loop by hand calls `forward` and `backward`, which allocate new arrays. `Trainer` calls
`run` and `run_backward` instead, and passes them arrays that it allocated once.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.checks import form, integer, number
from byhand.engine.memory import Array, Buffer, Shape, assign, device_of, host_copy, is_array
from byhand.engine.op import Saved
from byhand.engine.plan import PlannedLoss
from byhand.nn.layer import overrides


class Loss(PlannedLoss):
    """The base class of losses.

    To write a loss of your own, derive a class that defines `forward` and `backward` in plain
    NumPy. It works wherever a loss of byhand works.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Whether the loss of a batch is the mean or the sum of the losses of its rows.

    Raises
    ------
    ValueError
        If `reduction` is neither "mean" nor "sum".
    """

    one_hot: ClassVar[bool] = False
    """Whether `Trainer` turns integer labels into one-hot rows before it calls the loss.

    A one-hot row has a 1 in the column of the label, and zeros in all other columns.
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction must be 'mean' or 'sum', not {reduction!r}")
        self.reduction = reduction
        self._last: tuple[Array, NDArray[Any], Saved] | None = None

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        return ()

    def counted(self, target: NDArray[Any]) -> int:
        """Return the number of rows over which the loss of a batch is averaged.

        Parameters
        ----------
        target : ndarray
            The labels of a batch, or the values that the prediction should have.
        """
        return len(target)

    def run(self, prediction: Array, target: NDArray[Any], saved: Saved) -> np.float32:
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def run_backward(
        self, prediction: Array, target: NDArray[Any], saved: Saved, grad: Array
    ) -> None:
        raise NotImplementedError(f"{type(self).__name__} defines no backward")

    def forward(self, prediction: Array, target: NDArray[Any]) -> np.float32:
        """Compute the loss of a batch. The short form is `loss(prediction, target)`.

        The loss object keeps both arguments for `backward`, without a copy. Do not change these two
        arrays until `backward` has run.

        Parameters
        ----------
        prediction : ndarray, shape (N, ...), float32
            The output of the network.
        target : ndarray
            The labels or the values that the prediction should have.

        Returns
        -------
        numpy.float32
            The loss. If the arguments are on a GPU, it is a DeviceArray without dimensions.

        Raises
        ------
        TypeError, ValueError
            If an argument is not an array, or the shapes or dtypes do not fit each other.
        """
        if not is_array(prediction) or prediction.ndim == 0:
            raise TypeError(
                f"prediction must be an array with a batch axis, not {form(prediction)}"
            )
        n, shape = prediction.shape[0], prediction.shape[1:]
        device = device_of(prediction)
        saved = tuple(kernels.empty((n, *b.shape), device) for b in self.saved(shape))
        value = self.run(prediction, target, saved)
        self._last = prediction, target, saved
        return value

    def __call__(self, prediction: Array, target: NDArray[Any]) -> np.float32:
        return self.forward(prediction, target)

    def backward(self) -> Array:
        """Compute the gradient for the batch of the last `forward`.

        Returns
        -------
        ndarray, of the shape of the prediction, float32
            The gradient of the loss with respect to the prediction.

        Raises
        ------
        RuntimeError
            If `forward` was not called before.
        """
        if self._last is None:
            raise RuntimeError(f"backward of {self!r} was called before forward")
        prediction, target, saved = self._last
        grad: Array = kernels.empty(prediction.shape, device_of(prediction))
        self.run_backward(prediction, target, saved, grad)
        return grad

    def __repr__(self) -> str:
        shown = (f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({', '.join(shown)})"


class CrossEntropyLoss(Loss):
    """The cross entropy of logits (N, C) and labels (N,), or of logits and probabilities (N, C).

    The loss of a row with a label is -log(softmax(logits)[label]). The loss of a row with
    probabilities p is -sum(p * log(softmax(logits))).

    Parameters
    ----------
    ignore_index : int
        Rows with this label are ignored: they add nothing to the loss, and their gradient is 0.
    label_smoothing : float
        The share of the target probability, from 0 to 1, that is spread evenly over all classes.
    reduction : {"mean", "sum"}
        Whether the loss is the mean or the sum over the rows that are not ignored.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or an impossible value.
    """

    def __init__(
        self,
        *,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.ignore_index = integer("ignore_index", ignore_index, -(2**63))
        if self.ignore_index >= 2**63:
            raise ValueError(f"ignore_index must be less than 2**63, not {ignore_index}")
        self.label_smoothing = number("label_smoothing", label_smoothing)
        if not 0.0 <= self.label_smoothing <= 1.0:
            raise ValueError(f"label_smoothing must be from 0 to 1, not {label_smoothing}")

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        return (Buffer(shape),)  # softmax(logits)

    def counted(self, target: NDArray[Any]) -> int:
        if target.ndim > 1:
            return len(target)
        return int((target != self.ignore_index).sum())

    def run(self, prediction: Array, target: NDArray[Any], saved: Saved) -> np.float32:
        loss, _ = kernels.softmax_cross_entropy(
            prediction,
            target,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
            out=saved[0],
        )
        return loss

    def run_backward(
        self, prediction: Array, target: NDArray[Any], saved: Saved, grad: Array
    ) -> None:
        kernels.softmax_cross_entropy_backward(
            saved[0],
            target,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
            out=grad,
        )


class MSELoss(Loss):
    """The squared error (prediction - target)^2 of two arrays of the same shape.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Whether the loss is the mean or the sum of the squared errors of all elements.
    """

    one_hot = True

    def run(self, prediction: Array, target: NDArray[Any], saved: Saved) -> np.float32:
        return kernels.squared_error(prediction, target, reduction=self.reduction)

    def run_backward(
        self, prediction: Array, target: NDArray[Any], saved: Saved, grad: Array
    ) -> None:
        kernels.squared_error_backward(prediction, target, reduction=self.reduction, out=grad)


class LossByHand(PlannedLoss):
    """An adapter for a user's own loss: `run` calls `forward`, `run_backward` calls `backward`.

    Parameters
    ----------
    loss : Loss
        The loss.
    """

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        return ()

    def run(self, prediction: Array, target: NDArray[Any], saved: Saved) -> np.float32:
        if device_of(prediction) != "cpu":  # the loss computes with NumPy
            prediction, target = host_copy(prediction), host_copy(target)
        value: np.float32 = np.float32(self._loss.forward(prediction, target))
        return value

    def run_backward(
        self, prediction: Array, target: NDArray[Any], saved: Saved, grad: Array
    ) -> None:
        # `backward` may return another dtype, or a shape that can be broadcast.
        values = grad if device_of(grad) == "cpu" else kernels.empty(grad.shape)
        values[...] = self._loss.backward()
        if values is not grad:
            assign(grad, values)


def planned(loss: Loss) -> Loss | LossByHand:
    """Return a loss in the form that a plan needs, with the methods `run` and `run_backward`.

    A loss of byhand has them and is returned unchanged. A user's own loss, which overrides
    `forward` or `backward`, is wrapped in a `LossByHand`.

    Parameters
    ----------
    loss : Loss
        The loss.
    """
    return LossByHand(loss) if overrides(type(loss), "run", "run_backward") else loss
