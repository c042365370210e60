"""Losses: forward gives the loss as a float32, backward the gradient of the last prediction.

Each is an `engine.Loss`: calls by hand run it on fresh arrays, plans on their arena.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.checks import form, integer, number
from byhand.engine.memory import Array, Buffer, Shape
from byhand.engine.plan import Saved
from byhand.nn.module import overrides


class Loss:
    """The base of all losses. reduction: "mean" or "sum".

    A user's own loss defines `forward`, the mean loss of a batch, and `backward`, the gradient with
    respect to the last prediction. It may stand wherever a loss of byhand may.
    """

    one_hot: ClassVar[bool] = False
    """Targets are rows of 0 and 1, one number an output, where CrossEntropyLoss takes labels."""

    def __init__(self, *, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction must be 'mean' or 'sum', not {reduction!r}")
        self.reduction = reduction
        self._last: tuple[Array, NDArray[Any], Saved] | None = None

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        return ()

    def counted(self, target: NDArray[Any]) -> int:
        """The number of rows of `target` that the mean is taken over."""
        return len(target)

    def run(self, prediction: Array, target: NDArray[Any], saved: Saved) -> np.float32:
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def run_backward(
        self, prediction: Array, target: NDArray[Any], saved: Saved, grad: Array
    ) -> None:
        raise NotImplementedError(f"{type(self).__name__} defines no backward")

    def forward(self, prediction: Array, target: NDArray[Any]) -> np.float32:
        """The loss of a batch. Keeps both arrays for `backward` and does not copy them.

        Raises TypeError or ValueError where they are not arrays that fit.
        """
        if not isinstance(prediction, np.ndarray) or prediction.ndim == 0:
            raise TypeError(
                f"prediction must be an array with a batch axis, not {form(prediction)}"
            )
        n, shape = prediction.shape[0], prediction.shape[1:]
        saved = tuple(kernels.empty((n, *b.shape)) for b in self.saved(shape))
        value = self.run(prediction, target, saved)
        self._last = prediction, target, saved
        return value

    def __call__(self, prediction: Array, target: NDArray[Any]) -> np.float32:
        return self.forward(prediction, target)

    def backward(self) -> Array:
        """The gradient of the last prediction; RuntimeError before the first forward."""
        if self._last is None:
            raise RuntimeError(f"backward of {self!r} was called before forward")
        prediction, target, saved = self._last
        grad = kernels.empty(prediction.shape)
        self.run_backward(prediction, target, saved, grad)
        return grad

    def __repr__(self) -> str:
        shown = (f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({', '.join(shown)})"


class CrossEntropyLoss(Loss):
    """-log softmax(prediction)[label]: prediction (N, C) logits, target (N,) integer labels.

    target may also be (N, C) probabilities. Rows labelled ignore_index count for nothing; "mean"
    divides by the number of the others. label_smoothing e takes 1 - e of the label's probability
    and spreads e over all classes.
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
        return (Buffer(shape),)  # probabilities

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
    """(prediction - target)^2 over arrays of one shape; "mean" is over all elements."""

    one_hot = True

    def run(self, prediction: Array, target: NDArray[Any], saved: Saved) -> np.float32:
        return kernels.squared_error(prediction, target, reduction=self.reduction)

    def run_backward(
        self, prediction: Array, target: NDArray[Any], saved: Saved, grad: Array
    ) -> None:
        kernels.squared_error_backward(prediction, target, reduction=self.reduction, out=grad)


class LossByHand:
    """A user's own loss as the end of a plan: it computes in its `forward` and `backward`."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        return ()

    def run(self, prediction: Array, target: NDArray[Any], saved: Saved) -> np.float32:
        value: np.float32 = np.float32(self._loss.forward(prediction, target))
        return value

    def run_backward(
        self, prediction: Array, target: NDArray[Any], saved: Saved, grad: Array
    ) -> None:
        grad[...] = self._loss.backward()


def planned(loss: Loss) -> Loss | LossByHand:
    """The loss for a plan, which runs `run`: a class may override `forward` or `backward` alone."""
    return LossByHand(loss) if overrides(type(loss), "run", "run_backward") else loss
