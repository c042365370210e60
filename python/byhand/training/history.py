"""The history of a training, as `Trainer.fit` returns it, and its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex, overload

from byhand.training.events import BatchEnd, EpochEnd

# The repr of a long history shows this number of epochs at its beginning and at its end.
_SHOWN = 8


class History(list[EpochEnd]):
    """The epochs of a run in their order. Its repr is a table with one line per epoch.

    Parameters
    ----------
    iterable : iterable of EpochEnd
    """

    @overload
    def __getitem__(self, index: SupportsIndex) -> EpochEnd: ...

    @overload
    def __getitem__(self, index: slice) -> History: ...

    def __getitem__(self, index: SupportsIndex | slice) -> EpochEnd | History:
        if isinstance(index, slice):
            return History(super().__getitem__(index))
        return super().__getitem__(index)

    def __repr__(self) -> str:
        if not self:
            return "History of no epochs"
        rows = [table_row(end) for end in self]
        if len(rows) > 2 * _SHOWN + 1:
            rows[_SHOWN:-_SHOWN] = [f"  ... {len(rows) - 2 * _SHOWN} epochs ..."]
        best = next((end for end in reversed(self) if end.best), None)
        if best is not None:
            rows.append(f"lowest validation loss: epoch {best.epoch}")
        return "\n".join([table_head(self), *rows])


def table_head(history: Sequence[EpochEnd]) -> str:
    """Return the column titles of `table_row`.

    Parameters
    ----------
    history : sequence of EpochEnd
        The epochs of the table. If one of them was validated, the validation has columns, too.
    """
    titles = "epoch    loss    error"
    if any(end.validation_loss is not None for end in history):
        titles += "  val loss  val accuracy"
    return f"{titles}  seconds"


def table_row(end: EpochEnd) -> str:
    """Return the line of an epoch: its training loss and error, its validation loss and accuracy.

    Parameters
    ----------
    end : EpochEnd
    """
    row = f"{end.epoch:>5}  {end.loss:>6.4f}  {100 * end.error:>5.2f} %"
    if end.validation_loss is not None and end.validation_accuracy is not None:
        row += f"  {end.validation_loss:>8.4f}  {100 * end.validation_accuracy:>10.2f} %"
    return f"{row}  {end.seconds:>7.2f}"


class RunningMean:
    """The mean loss and error over the images of the batches so far.

    Attributes
    ----------
    images : int
        The number of images in these batches.
    """

    def __init__(self) -> None:
        self.images, self._counted = 0, 0
        self._loss, self._error = 0.0, 0.0

    def add(self, event: BatchEnd) -> None:
        """Add a batch.

        Parameters
        ----------
        event : BatchEnd
        """
        self.images += event.images
        self._counted += event.counted
        self._loss += event.loss * event.counted
        self._error += event.error * event.images

    def values(self) -> tuple[float, float]:
        """Return the mean loss and error. At least one batch must have been added."""
        return self._loss / max(1, self._counted), self._error / self.images
