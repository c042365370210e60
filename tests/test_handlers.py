"""The handlers of byhand, and handlers of a user that stop training or raise an error."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import traceback
import types
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import byhand
import matplotlib.pyplot as plt
import numpy as np
import pytest
from byhand.files.tensors import read_tensors
from byhand.plots.live import LivePlot
from byhand.training import (
    BatchEnd,
    CheckpointSaved,
    EpochEnd,
    Evaluated,
    Event,
    StopTraining,
    TrainingEnded,
    TrainingStarted,
    evaluate,
)
from byhand.training.handlers import EarlyStop, LogFile
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from networks import digits, trainer
from PIL import Image

# --------------------------------------------------------------------------------------------------
# The events of files and validation, and the two ways to end training


def test_events_of_an_epoch_with_files(tmp_path: Path) -> None:
    events: list[Event] = []
    states: list[int] = []

    def handler(event: Event) -> None:
        events.append(event)
        if isinstance(event, CheckpointSaved):
            states.append(read_tensors(event.run / "state.safetensors")[1]["epoch"])

    training = trainer(run=tmp_path, handlers=[handler])
    history = training.fit(digits(20), epochs=2, batch_size=10, validation=digits(10, seed=1))
    epoch = [BatchEnd, BatchEnd, Evaluated, CheckpointSaved, EpochEnd]
    assert [type(event) for event in events] == [TrainingStarted, *epoch, *epoch, TrainingEnded]
    for end, checked in zip(history, (e for e in events if isinstance(e, Evaluated)), strict=True):
        assert (checked.epoch, checked.images) == (end.epoch, 10)
        assert (checked.loss, checked.accuracy) == (end.validation_loss, end.validation_accuracy)
        assert checked.seconds > 0
    saved = [e for e in events if isinstance(e, CheckpointSaved)]
    assert saved == [CheckpointSaved(e.epoch, tmp_path, e.best) for e in history]
    assert states == [1, 2]


def stop_at(kind: type[Event], epoch: int) -> Any:
    def handler(event: Event) -> None:
        if isinstance(event, kind) and getattr(event, "epoch", epoch) == epoch:
            raise StopTraining

    return handler


@pytest.mark.parametrize(
    ("kind", "epochs"),
    [(TrainingStarted, 0), (BatchEnd, 1), (Evaluated, 2), (CheckpointSaved, 2), (EpochEnd, 2)],
)
def test_stop_training(kind: type[Event], epochs: int, tmp_path: Path) -> None:
    """Stop in epoch 2. Handlers after the one that stops still get all events."""
    events: list[Event] = []
    training = trainer(run=tmp_path, handlers=[stop_at(kind, 2), events.append])
    history = training.fit(digits(20), epochs=5, batch_size=10, validation=digits(10, seed=1))
    assert [end.epoch for end in history] == list(range(1, epochs + 1))
    ended = events[-1]
    assert isinstance(ended, TrainingEnded) and ended.stopped
    assert ended.history == tuple(history)
    assert any(isinstance(event, kind) for event in events)
    assert [e.epoch for e in events if isinstance(e, EpochEnd)] == [e.epoch for e in history]
    assert (tmp_path / "state.safetensors").exists() == (epochs > 0)


def test_training_that_is_not_stopped_says_so() -> None:
    events: list[Any] = []
    trainer(handlers=[events.append, stop_at(TrainingEnded, 0)]).fit(digits(20), epochs=1)
    assert events[-1].stopped is False


@pytest.mark.slow
@pytest.mark.parametrize("kind", [BatchEnd, Evaluated, CheckpointSaved, EpochEnd])
def test_a_handler_that_raises(kind: type[Event], tmp_path: Path) -> None:
    """If a handler raises, its error reaches the caller, and the run folder stays resumable."""

    def careless(event: Event) -> None:
        if isinstance(event, kind) and event.epoch == 2:  # type: ignore[attr-defined]
            raise ZeroDivisionError("mine")

    def fit(folder: Path, *handlers: Any, resume: bool = False) -> list[EpochEnd]:
        training = trainer(run=folder, handlers=handlers, ema=0.5)
        data = {"validation": digits(10, seed=1), "batch_size": 10}
        return training.fit(digits(20), epochs=3, resume=resume, **data)

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        fit(tmp_path / "a", careless)
    frames = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert frames[-1] == "careless"
    whole = 2 if kind in (CheckpointSaved, EpochEnd) else 1
    assert read_tensors(tmp_path / "a" / "state.safetensors")[1]["epoch"] == whole
    scores = evaluate(byhand.load(tmp_path / "a" / "model.safetensors"), digits(10, seed=1))
    lines = (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()
    assert scores.loss == json.loads(lines[whole - 1])["validation_loss"]
    fit(tmp_path / "a", resume=True)
    fit(tmp_path / "b")
    for name in ("state", "model", "best"):
        a, b = (tmp_path / run / f"{name}.safetensors" for run in "ab")
        assert a.read_bytes() == b.read_bytes()


def test_the_core_needs_neither_rich_nor_matplotlib() -> None:
    code = """
import sys, byhand, byhand.training.handlers
assert not {"rich", "matplotlib", "typer", "PIL"} & set(sys.modules), sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --------------------------------------------------------------------------------------------------
# Early stop

END = EpochEnd(1, 9, 1.0, 0.5, 1.0, 0.5, 0.1, 1.0, 1.0, best=True)
STARTED = TrainingStarted(trainer().model, 9, 2, 10, 20, 10, None)


def epochs_until_stop(handler: EarlyStop, losses: list[float], before: int = 0) -> int | None:
    """Return the number of epochs until the handler stops, or None.

    `before` of them belong to an earlier process.
    """
    ends = [replace(END, epoch=i + 1, validation_loss=loss) for i, loss in enumerate(losses)]
    try:
        handler(replace(STARTED, history=tuple(ends[:before])))
        for end in ends[before:]:
            before += 1
            handler(end)
    except StopTraining:
        return before
    return None


@pytest.mark.parametrize("before", [0, 2])
def test_early_stop(before: int) -> None:
    losses = [1.0, 0.9, 0.95, 0.89, 0.9, 0.89, 0.9, 0.1]
    assert epochs_until_stop(EarlyStop(3), losses, before) == 7
    assert epochs_until_stop(EarlyStop(1), losses, before) == 3
    assert epochs_until_stop(EarlyStop(4), losses, before) is None
    assert epochs_until_stop(EarlyStop(3, min_delta=0.05), losses, before) == 5
    handler = EarlyStop(3)
    assert [epochs_until_stop(handler, losses, before) for _ in range(2)] == [7, 7]


def test_early_stop_of_a_run_that_had_been_stopped() -> None:
    assert epochs_until_stop(EarlyStop(2), [1.0, 2.0, 3.0], before=3) == 3


def test_early_stop_ends_training() -> None:
    """After the first epoch, a negative learning rate makes the loss rise."""
    training = trainer(
        schedule=lambda step: 0.01 if step < 4 else -0.01, handlers=[EarlyStop(patience=2)]
    )
    history = training.fit(digits(60), epochs=9, batch_size=16, validation=digits(20, seed=1))
    assert [end.best for end in history] == [True, False, False]
    with pytest.raises(ValueError, match="EarlyStop watches the validation loss"):
        trainer(handlers=[EarlyStop()]).fit(digits(20), epochs=1)
    with pytest.raises(ValueError, match="patience must be at least 1, not 0"):
        EarlyStop(0)


@pytest.mark.slow
@pytest.mark.parametrize("ema", [None, 0.5])
@pytest.mark.parametrize("restore", [True, False])
@pytest.mark.parametrize("epochs", [3, 2])
def test_early_stop_restores_the_best_epoch(
    epochs: int, restore: bool, ema: float | None, tmp_path: Path
) -> None:
    """The best epoch is restored, whether or not the handler stopped training.

    With an average of the weights, it is the average of that epoch.
    """
    weights: list[Any] = []

    def note(event: Event) -> None:
        if isinstance(event, EpochEnd):
            weights.append(training.model.state_dict())

    handler = EarlyStop(patience=2, restore_best=restore)
    training = trainer(
        schedule=lambda step: 0.01 if step < 4 else -0.01,
        handlers=[note, handler],
        run=tmp_path,
        ema=ema,
    )
    data = {"batch_size": 16, "validation": digits(20, seed=1)}
    history = training.fit(digits(60), epochs=epochs, **data)
    assert [end.best for end in history] == [True, False, False][:epochs]
    wanted = weights[0] if restore else weights[-1]
    got = training.model.state_dict()
    assert all(np.array_equal(got[name], wanted[name]) for name in wanted)
    assert training.model.trained is not None
    assert training.model.trained["epoch"] == (1 if restore else epochs)
    if restore:  # a resumed run finds its best epoch in the folder
        best = byhand.load(tmp_path).state_dict()
        assert all(np.array_equal(got[name], best[name]) for name in best)
        again = trainer(schedule=lambda step: -0.01, handlers=[EarlyStop(9)], run=tmp_path, ema=ema)
        again.schedule = training.schedule
        again.fit(digits(60), epochs=4, resume=True, **data)
        got = again.model.state_dict()
        assert all(np.array_equal(got[name], best[name]) for name in best)


# --------------------------------------------------------------------------------------------------
# Log


def read(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a log, with numbers as numbers."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    rows = csv.DictReader(path.read_text().splitlines())
    return [
        {k: v if k == "event" else float(v) if v else None for k, v in row.items()} for row in rows
    ]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_log(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"log.{suffix}"
    path.write_text("what was there")
    events: list[Any] = []
    training = trainer(handlers=[events.append, LogFile(path, every=2)])
    training.fit(digits(50), epochs=2, batch_size=16, validation=digits(20, seed=1))
    rows = read(path)
    assert [(row["event"], row["epoch"], row["batch"]) for row in rows] == [
        (event, epoch, batch)
        for epoch in (1, 2)
        for event, batch in (("batch", 2), ("batch", 4), ("epoch", None))
    ]
    assert all(list(row) == list(LogFile.COLUMNS) for row in rows)
    steps = [e for e in events if isinstance(e, BatchEnd)]
    ends = [e for e in events if isinstance(e, EpochEnd)]
    for row in rows:
        own = [e for e in steps if e.epoch == row["epoch"]]
        if row["event"] == "batch":
            seen = own[: int(row["batch"])]
            assert (row["loss"], row["error"], row["lr"]) == (
                seen[-1].loss,
                seen[-1].error,
                seen[-1].lr,
            )
            weights = [e.images for e in seen]
            assert row["average_loss"] == pytest.approx(
                np.average([e.loss for e in seen], weights=weights)
            )
            assert row["average_error"] == pytest.approx(
                np.average([e.error for e in seen], weights=weights)
            )
            assert row["validation_loss"] is None
        else:
            end = ends[int(row["epoch"]) - 1]
            assert row["loss"] == row["average_loss"] == end.loss
            assert row["validation_accuracy"] == end.validation_accuracy
            assert row["seconds"] == end.seconds
    times = [[row["seconds"] for row in rows if row["epoch"] == epoch] for epoch in (1, 2)]
    assert all(0 < a < b for own in times for a, b in pairwise(own[:2]))


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_the_log_of_a_resumed_run(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"log.{suffix}"

    def interrupt(event: Event) -> None:
        if isinstance(event, BatchEnd) and (event.epoch, event.batch) == (2, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log = LogFile(path, every=1)
        trainer(run=tmp_path / "run", handlers=[log, interrupt]).fit(
            digits(30), epochs=3, batch_size=10
        )
    assert [row["epoch"] for row in read(path)] == [1, 1, 1, 1, 2, 2]
    with open(path, "a") as file:
        file.write(path.read_text().splitlines()[-1][:7])  # as a full disk leaves it
    training = trainer(run=tmp_path / "run", handlers=[LogFile(path, every=1)])
    training.fit(digits(30), epochs=3, batch_size=10, resume=True)
    assert [row["epoch"] for row in read(path)] == [1] * 4 + [2] * 4 + [3] * 4


def test_logs_open_in_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    logs = [tmp_path / "log.csv", tmp_path / "log.jsonl"]
    training = trainer(run=tmp_path / "run", handlers=[LogFile(path, every=1) for path in logs])
    history = training.fit(digits(30), epochs=3, batch_size=10, validation=digits(10, seed=1))
    metrics = pandas.read_json(tmp_path / "run" / "metrics.jsonl", lines=True)
    assert list(metrics["epoch"]) == [1, 2, 3]
    assert list(metrics["validation_loss"]) == pytest.approx(
        [end.validation_loss for end in history]
    )
    assert str(metrics["best"].dtype) == "bool"
    for frame in (pandas.read_csv(logs[0]), pandas.read_json(logs[1], lines=True)):
        ends = frame[frame["event"] == "epoch"]
        assert list(ends["loss"]) == pytest.approx([end.loss for end in history])


def test_logs_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"path must end in \.csv or \.jsonl, not 'log\.txt'"):
        LogFile("log.txt")
    with pytest.raises(ValueError, match="every must be at least 1, not 0"):
        LogFile("log.csv", every=0)
    with pytest.raises(TypeError, match=r"path must be a str or a pathlib\.Path, not 5"):
        LogFile(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="restore_best must be True or False, not 'no'"):
        EarlyStop(restore_best="no")  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------
# Live plot


@pytest.fixture(autouse=True)
def no_window() -> None:
    """Use a backend without windows, even if the machine has a screen."""
    plt.switch_backend("agg")


def fit_with(plot: LivePlot, run: Path | None = None, epochs: int = 2) -> None:
    training = trainer(handlers=[plot], run=run)
    training.fit(digits(40), epochs=epochs, batch_size=10, validation=digits(10, seed=1))


def lines_of(figure: Figure) -> dict[str, list[float]]:
    """Return the x values of each line of the loss, by label."""
    return {str(line.get_label()): list(line.get_xdata()) for line in figure.axes[0].lines}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, list[float]]]:
    """Record the lines of every picture instead of rendering it, which is slow."""
    pictures: list[dict[str, list[float]]] = []

    def figure_bytes(figure: Figure, suffix: str = ".png") -> bytes:
        pictures.append(lines_of(figure))
        return b"%d" % len(pictures)

    import byhand.plots.curves  # noqa: F401  imported later, it would keep the replacement

    monkeypatch.setattr("byhand.plots.figure.figure_bytes", figure_bytes)
    return pictures


TRAIN, TEST = "train, while learning", "held out, after the epoch"


def test_live_plot_writes_a_file(drawn: list[dict[str, list[float]]], tmp_path: Path) -> None:
    """Without notebook and window, the plot goes to a file.

    With seconds=0, it is drawn after every batch and every epoch.
    """
    fit_with(LivePlot(tmp_path / "live.png", seconds=0), epochs=1)
    assert drawn[0] == {TRAIN: [0.25]} and drawn[2] == {TRAIN: [0.25, 0.5, 0.75]}
    assert drawn[-1] == drawn[-2] == {TRAIN: [0.25, 0.5, 0.75, 1.0], TEST: [1]}
    assert (tmp_path / "live.png").read_bytes() == b"%d" % len(drawn) == b"6"


def test_drawing_takes_a_tenth_of_the_time(
    drawn: list[dict[str, list[float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drawing takes one second, and a batch three. The next drawing comes after nine seconds."""
    now = [0.0]
    clock = types.SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("byhand.plots.live.time", clock)
    monkeypatch.setattr("byhand.plots.live.write_atomic", lambda *_: now.__setitem__(0, now[0] + 1))

    def batch(event: Event) -> None:
        if isinstance(event, BatchEnd):
            now[0] += 3

    training = trainer(handlers=[batch, LivePlot(tmp_path / "live.png")])
    training.fit(digits(90), epochs=1, batch_size=10)
    assert [picture[TRAIN][-1] for picture in drawn] == [1 / 9, 4 / 9, 7 / 9, 1]


@pytest.mark.slow
def test_live_plot_is_a_png_in_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_with(LivePlot(seconds=1000), tmp_path / "run")
    with Image.open(tmp_path / "run" / "curves.png", formats=["PNG"]) as picture:
        picture.load()
        assert picture.size == (1800, 800)
    assert plt.get_fignums() == []


def test_live_plot_in_a_notebook(
    drawn: list[dict[str, list[float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake IPython receives one picture, and then updates of it."""
    shown: list[tuple[str, bytes]] = []

    class Handle:
        def update(self, picture: bytes) -> None:
            shown.append(("update", picture))

    def display(picture: bytes, display_id: bool) -> Handle:
        assert display_id
        shown.append(("display", picture))
        return Handle()

    FigureCanvasAgg(Figure())  # matplotlib looks for IPython only once, before the fake exists
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=1)  # type: ignore[attr-defined]
    module = types.ModuleType("IPython.display")
    module.Image = lambda data, format, retina: data  # type: ignore[attr-defined]
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    fit_with(LivePlot(tmp_path / "live.png", seconds=0), epochs=1)
    assert shown == [("display", b"1"), *(("update", b"%d" % i) for i in range(2, 7))]
    assert drawn[5] == {TRAIN: [0.25, 0.5, 0.75, 1.0], TEST: [1]}
    assert (tmp_path / "live.png").read_bytes() == b"7"


@pytest.mark.slow
def test_live_plot_in_a_window(
    drawn: list[dict[str, list[float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A canvas says that it has a window."""
    shown: list[dict[str, list[float]]] = []
    monkeypatch.setattr(FigureCanvasAgg, "required_interactive_framework", "some")
    monkeypatch.setattr(FigureCanvasAgg, "draw_idle", lambda canvas: None)
    monkeypatch.setattr(Figure, "show", lambda figure: shown.append({}))
    monkeypatch.setattr(
        FigureCanvasAgg, "flush_events", lambda canvas: shown.append(lines_of(canvas.figure))
    )
    try:
        fit_with(LivePlot(tmp_path / "live.png", seconds=0), epochs=1)
        assert len(plt.get_fignums()) == 1
    finally:
        plt.close("all")
    assert shown[:2] == [{}, {TRAIN: [0.25]}]
    assert shown[-1] == drawn[-1] == {TRAIN: [0.25, 0.5, 0.75, 1.0], TEST: [1]}
    assert (tmp_path / "live.png").read_bytes() == b"1"
