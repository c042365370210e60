"""The progress that training shows, and its history."""

from __future__ import annotations

import io
import pickle
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from byhand.training import BatchEnd, EpochEnd, Event, Trainer
from byhand.training.history import History
from byhand.training.progress import Progress, in_notebook
from networks import digits, trainer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Pipe(io.StringIO):
    def isatty(self) -> bool:
        return False


def fit(training: Trainer, **changes: Any) -> History:
    arguments: dict[str, Any] = {"epochs": 3, "batch_size": 16, "validation": digits(20, seed=1)}
    return training.fit(digits(60), **{**arguments, **changes})


def shown(text: str) -> list[str]:
    r"""Return the lines that a terminal shows at the end: text after \r overwrites the line."""
    lines = []
    for line in text.split("\n"):
        cells = ""
        for part in line.split("\r"):
            cells = part + cells[len(part) :]
        lines.append(cells.rstrip())
    return lines


@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_a_terminal_shows_a_line_per_epoch(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Pipe())
    monkeypatch.setattr(sys, "stdout", Pipe())
    monkeypatch.setattr(sys, stream, terminal := Terminal())
    monkeypatch.setattr("byhand.training.progress._SECONDS", 0)
    history = fit(trainer())
    assert shown(terminal.getvalue()) == [*repr(history).splitlines()[:4], ""]
    assert "\repoch 2/3  75 %  loss " in terminal.getvalue()
    others = {sys.stderr, sys.stdout} - {terminal}
    assert [other.getvalue() for other in others if isinstance(other, Pipe)] == [""]


def test_a_notebook_shows_it_in_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "stdout", Pipe())
    fit(trainer(), validation=None)
    assert shown(sys.stdout.getvalue())[0] == "epoch    loss    error  seconds"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("progress", "lines"), [(None, 0), (False, 0), (True, 4)])
def test_who_does_not_watch_is_shown_nothing_unless_asked(
    progress: bool | None, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Pipe())
    monkeypatch.setattr(sys, "stdout", Pipe())
    monkeypatch.setattr("byhand.training.progress._SECONDS", 0)
    fit(trainer(progress=progress))
    assert "\r" not in sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert sys.stderr.getvalue().count("\n") == lines  # type: ignore[attr-defined]
    assert sys.stdout.getvalue() == ""  # type: ignore[attr-defined]


def test_a_terminal_shows_nothing_if_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    fit(trainer(progress=False))
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_streams_that_cannot_be_written_to(
    stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream may be None, as under pythonw, or closed. A terminal may go away during training."""
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", stream)
    assert len(fit(trainer())) == 3

    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    assert len(fit(trainer())) == 3


def test_an_error_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, BatchEnd) and (event.epoch, event.batch) == (2, 3):
            raise RuntimeError

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr("byhand.training.progress._SECONDS", 0)
    with pytest.raises(RuntimeError):
        fit(trainer(handlers=[fail]))
    assert "\repoch 2/3" in terminal.getvalue() and shown(terminal.getvalue())[-1] == ""


def test_an_ipython_that_is_not_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython in a terminal, a module of this name without a shell, and one during its import."""
    modules = (lambda: object(), lambda: None)
    for get_ipython in modules:
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=get_ipython))  # type: ignore[arg-type]
        assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())  # type: ignore[arg-type]
    assert not in_notebook()


def test_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""The running line never wraps, because \r could not return to its beginning."""
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("byhand.training.progress._SECONDS", 0)
    terminal = Terminal()
    progress = Progress(terminal)
    progress._epochs = 3
    progress(BatchEnd(1, 5, 10, 16, 16, 0.5, 0.25, 0.1))
    assert terminal.getvalue() == "\repoch 1/3  50 %  lo"


END = EpochEnd(1, 40, 0.5739, 0.1514, 0.34, 0.9, 0.1, 0.19, 1000.0, best=True)


def test_a_history_is_a_short_table() -> None:
    history = History([END, replace(END, epoch=2, best=False, validation_loss=0.4)])
    assert repr(history).splitlines() == [
        "epoch    loss    error  val loss  val accuracy  seconds",
        "    1  0.5739  15.14 %    0.3400       90.00 %     0.19",
        "    2  0.5739  15.14 %    0.4000       90.00 %     0.19",
        "lowest validation loss: epoch 1",
    ]
    plain = replace(END, validation_loss=None, validation_accuracy=None, best=False)
    assert repr(History([plain])).splitlines() == [
        "epoch    loss    error  seconds",
        "    1  0.5739  15.14 %     0.19",
    ]
    long = History(replace(END, epoch=i, best=i == 7) for i in range(1, 1001))
    lines = repr(long).splitlines()
    assert len(lines) == 1 + 8 + 1 + 8 + 1 and "  ... 984 epochs ..." in lines
    assert max(map(len, lines)) <= 80 and repr(History()) == "History of no epochs"


def test_a_history_is_a_list() -> None:
    history = fit(trainer())
    assert isinstance(history, list) and [end.epoch for end in history] == [1, 2, 3]
    assert isinstance(history[1:], History) and history[1:] == list(history)[1:]
    assert history[-1] is list(history)[-1] and isinstance(history[0], EpochEnd)
    copied = pickle.loads(pickle.dumps(history))
    assert type(copied) is History and copied == history
