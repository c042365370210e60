"""Show the progress of training and of downloads while a command works."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from byhand import data
from byhand.cli.output import is_terminal, say, warn
from byhand.training import BatchEnd, EpochEnd, Event, TrainingStarted
from byhand.training.history import RunningMean

# The bar is drawn again after this number of seconds. The batches in between are only added to the
# running mean, which costs almost nothing.
_SECONDS = 0.1

_TABLE = "epoch  train loss  train error  {0} loss  {0} accuracy  seconds  images/s"


class TrainingDisplay:
    """A handler of training events: one table row per epoch, and on a terminal a bar below it.

    Parameters
    ----------
    log_every : int, optional
        Also print a line every N batches, in the form of the PaddlePaddle book's log.
    watched : str
        The word in the table's header for the images on which each epoch is measured: "test" or
        "val".
    has_bar : bool
        Whether a terminal shows the bar.
    """

    def __init__(
        self, log_every: int | None = None, watched: str = "test", *, has_bar: bool = True
    ) -> None:
        self.history: list[EpochEnd] = []
        self.watched = watched
        self._table = _TABLE.format(watched)
        self._log_every = log_every
        self._mean = RunningMean()
        self._bar = _Bar() if has_bar and is_terminal(sys.stdout) else None

    def __enter__(self) -> TrainingDisplay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrainingStarted):
            self.history += event.history
            say(self._table)
        if isinstance(event, BatchEnd) and self._log_every is not None:
            self._log(event, self._log_every)
        if isinstance(event, EpochEnd):
            self.history.append(event)
            self._mean = RunningMean()
            cells = zip(_row(event), self._table.split("  "), strict=True)
            say("  ".join(f"{text:>{len(title)}}" for text, title in cells))
        if self._bar is not None:
            self._bar(event)

    def _log(self, event: BatchEnd, every: int) -> None:
        self._mean.add(event)
        if event.batch % every == 0:
            cost, error = self._mean.values()
            say(
                f"Pass {event.epoch:05}, Batch {event.batch}: average cost {cost:.6f}, "
                f"current cost {event.loss:.6f}, classification error {percent(error)}"
            )


def percent(fraction: float) -> str:
    """Return a fraction as a percentage with two decimals.

    Parameters
    ----------
    fraction : float
        The fraction, such as 0.9876 for "98.76 %".
    """
    return f"{100 * fraction:.2f} %"


def _row(event: EpochEnd) -> tuple[str, ...]:
    tested = event.validation_loss is not None and event.validation_accuracy is not None
    return (
        str(event.epoch),
        f"{event.loss:.4f}",
        percent(event.error),
        f"{event.validation_loss:.4f}" if tested else "-",
        percent(event.validation_accuracy or 0.0) if tested else "-",
        f"{event.seconds:.2f}",
        f"{event.images_per_second:,.0f}",
    )


class _Bar:
    """A bar for the running epoch, with its images per second, mean loss and mean error so far."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(compact=True),
            console=Console(file=sys.stdout),
            refresh_per_second=1 / _SECONDS,
            transient=True,
        )
        self._task = self._progress.add_task("", numbers="")

    def stop(self) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrainingStarted):
            self._progress.start()
            self._progress.update(self._task, total=event.batches)
            if len(event.history) < event.epochs:
                self._begin_epoch(len(event.history) + 1, event.epochs)
        elif isinstance(event, BatchEnd):
            self._mean.add(event)
            if event.batch == event.batches or time.perf_counter() > self._shown + _SECONDS:
                self._show(event)
        elif isinstance(event, EpochEnd) and event.epoch < event.epochs:
            self._begin_epoch(event.epoch + 1, event.epochs)

    def _begin_epoch(self, epoch: int, epochs: int) -> None:
        self._progress.reset(self._task, description=f"epoch {epoch}/{epochs}", numbers="")
        self._begin = self._shown = time.perf_counter()
        self._mean = RunningMean()

    def _show(self, event: BatchEnd) -> None:
        self._shown = time.perf_counter()
        speed = self._mean.images / (self._shown - self._begin)
        loss, error = self._mean.values()
        numbers = f"{speed:,.0f} images/s  loss {loss:.4f}  error {percent(error)}"
        self._progress.update(self._task, completed=event.batch, numbers=numbers)


@contextlib.contextmanager
def fetch_display() -> Iterator[data.ProgressCallback]:
    """Show the progress of `byhand.data.fetch`: a bar on a terminal, otherwise one line per file.

    Yields
    ------
    callable
        The argument `progress` of `byhand.data.fetch`.
    """
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
    )
    moves = is_terminal(sys.stderr)
    tasks: dict[str, TaskID] = {}

    def show(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(name, total=total)
            if moves:
                progress.start()
            else:
                warn(f"fetching {name}, {total:,} bytes")
        progress.update(tasks[name], completed=done)

    try:
        yield show
    finally:
        if moves:
            progress.stop()
