"""A handler that draws the curves of a training while it runs."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byhand.checks import as_path, is_installed, not_negative
from byhand.files.atomic import write_atomic
from byhand.plots.formats import PLOT_FORMATS
from byhand.training import BatchEnd, EpochEnd, Event, TrainingEnded, TrainingStarted
from byhand.training.history import RunningMean
from byhand.training.progress import in_notebook

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# The number of points that the curve of the training loss gets per epoch.
_POINTS = 20


class LivePlot:
    """A handler that draws the loss and the error on training and validation images as curves.

    In a notebook, the curves are a picture below the cell. Each drawing replaces this picture.
    Outside a notebook, they are in a window or, if matplotlib can open none, in a file. If a
    drawing fails, a warning says why, the training continues, and nothing more is drawn.

    Parameters
    ----------
    path : path, optional
        The file for the curves. Its name must end in .png, .pdf or .svg. If the curves are shown in
        a notebook or a window, they are also written to this file, at the end of the training. If
        `path` is not given, curves that cannot be shown are drawn into curves.png, in the run
        folder or, if there is no run folder, in the current folder.
    seconds : float, optional
        The time between two drawings, in seconds. If it is not given, drawing takes about a tenth
        of the training time.
    title : str
        The title above the curves.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed. It comes with `byhand[cli]`.
    ValueError
        If the name of `path` has none of these three endings, or if `seconds` is negative.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        seconds: float | None = None,
        title: str = "",
    ) -> None:
        if not is_installed("matplotlib"):
            raise ModuleNotFoundError(
                'LivePlot needs matplotlib: pip install "byhand[cli]"', name="matplotlib"
            )
        self.path = None if path is None else as_path("path", path)
        if self.path is not None and self.path.suffix.lower() not in PLOT_FORMATS:
            raise ValueError(f"path must end in {', '.join(PLOT_FORMATS)}, not {self.path.name!r}")
        self.seconds = None if seconds is None else not_negative("seconds", seconds)
        self.title = title
        self._screen: _File | _Notebook | _Window | None = None
        self._history: list[EpochEnd] = []
        self._epochs: list[float] = []
        self._losses: list[float] = []
        self._mean = RunningMean()
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrainingStarted):
            self._history = list(event.history)
            self._epochs = [end.epoch for end in self._history]
            self._losses = [end.loss for end in self._history]
            self._mean, self._next = RunningMean(), 0.0
            with self._failures_are_warnings():
                self._screen = self._find_screen(Path() if event.run is None else event.run)
        elif isinstance(event, BatchEnd):
            self._mean.add(event)
            if event.batch % max(1, event.batches // _POINTS) == 0:
                self._point(event.epoch - 1 + event.batch / event.batches)
                self._draw_if_due()
        elif isinstance(event, EpochEnd):
            self._history.append(event)
            self._point(event.epoch)
            self._draw_if_due()
        elif isinstance(event, TrainingEnded):
            shown = self._screen
            self._draw()
            if self.path is not None and isinstance(shown, _Notebook | _Window):
                self._screen = _File(self.path)
                self._draw()

    def _find_screen(self, folder: Path) -> _File | _Notebook | _Window:
        """Choose where to draw. A file goes into `folder` if the user has given no path."""
        screen: _Notebook | _Window | None = _Notebook.find()
        if screen is None:
            with contextlib.suppress(Exception):  # draw into a file if there can be no window
                screen = _Window.find()
        return screen or _File(self.path or folder / "curves.png")

    @contextlib.contextmanager
    def _failures_are_warnings(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._screen = None
            message = f"LivePlot failed and draws no more; training continues: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    def _point(self, epochs: float) -> None:
        """Add a point to the curve of the training loss: the mean loss since the last point."""
        if self._mean.images:
            self._epochs.append(epochs)
            self._losses.append(self._mean.values()[0])
            self._mean = RunningMean()

    def _figure(self) -> Figure:
        from byhand.plots.curves import HEIGHT, WIDTH, LossCurve, draw_curves
        from byhand.plots.figure import new_figure

        window = self._screen.figure if isinstance(self._screen, _Window) else None
        figure = window or new_figure(WIDTH, HEIGHT)
        draw_curves(figure, {"": self._history}, self.title, LossCurve(self._epochs, self._losses))
        return figure

    def _draw_if_due(self) -> None:
        if time.perf_counter() >= self._next:
            self._draw()

    def _draw(self) -> None:
        begin = time.perf_counter()
        with self._failures_are_warnings():
            if self._screen is not None:
                self._screen.show(self._figure())
        end = time.perf_counter()
        # By default, wait nine times as long as the drawing took, so that drawing takes a tenth of
        # the training time.
        self._next = end + (9 * (end - begin) if self.seconds is None else self.seconds)


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path

    def show(self, figure: Figure) -> None:
        from byhand.plots.figure import figure_bytes

        write_atomic(self._path, figure_bytes(figure, self._path.suffix.lower()))


class _Notebook:
    """A picture below the cell that is being executed."""

    def __init__(self) -> None:
        self._handle: Any = None

    @classmethod
    def find(cls) -> _Notebook | None:
        return cls() if in_notebook() else None

    def show(self, figure: Figure) -> None:
        from IPython.display import Image, display

        from byhand.plots.figure import figure_bytes

        # With `retina`, the picture is shown at half its size in pixels, so that it is sharp on
        # screens of high resolution.
        picture = Image(data=figure_bytes(figure), format="png", retina=True)
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)


class _Window:
    """A window of matplotlib's pyplot, which chooses the GUI toolkit."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure

    @classmethod
    def find(cls) -> _Window | None:
        """Return a window, or None if matplotlib has no GUI toolkit that can open one."""
        import byhand.plots.figure  # noqa: F401  its import of matplotlib allows a wrong MPLBACKEND

        # isort: split
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=(9, 4), layout="constrained")
        if figure.canvas.required_interactive_framework is None:
            pyplot.close(figure)
            return None
        figure.show()
        return cls(figure)

    def show(self, figure: Figure) -> None:
        figure.canvas.draw_idle()
        figure.canvas.flush_events()
