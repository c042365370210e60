"""A run that was interrupted in any way resumes, with the bits of an uninterrupted run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import models, nn, optim
from byhand.files.tensors import CheckpointError, read_tensors, tensors_file
from byhand.nn import losses
from byhand.optim.schedules import OneCycle
from byhand.training import (
    BatchEnd,
    EpochEnd,
    Evaluated,
    Event,
    StopTraining,
    Trainer,
    TrainingStarted,
    Warp,
)
from byhand.training.run_folder import ResumeError, RunFolder
from networks import digits, trainer

TIMES = ("seconds", "images_per_second")


def files(folder: Path) -> dict[str, Any]:
    """Return every file's bytes without measured times and the number of threads."""
    found: dict[str, Any] = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    lines = [json.loads(line) for line in found["metrics.jsonl"].splitlines()]
    found["metrics.jsonl"] = [{k: v for k, v in line.items() if k not in TIMES} for line in lines]
    found["config.json"] = {**json.loads(found["config.json"]), "threads": None}
    return found


def fit(training: Trainer, **changes: Any) -> list[EpochEnd]:
    arguments: dict[str, Any] = {
        "epochs": 4,
        "batch_size": 16,
        "validation": digits(20, seed=1),
        "seed": 3,
        **changes,
    }
    return training.fit(arguments.pop("train", digits(60)), **arguments)


def interrupt(epoch: int, batch: int, error: type[BaseException] = KeyboardInterrupt) -> Any:
    def handler(event: Event) -> None:
        if isinstance(event, BatchEnd) and (event.epoch, event.batch) == (epoch, batch):
            raise error

    return handler


def lower_the_rate(event: Event) -> None:
    """A handler that changes the learning rate. A resumed run must repeat its effects."""
    if isinstance(event, Evaluated):
        training = HANDLED[-1]
        training.optimizer.lr /= 2
        training.optimizer.momentum = 0.5
        velocity = training.optimizer.state_dict()
        training.optimizer.load_state_dict({name: v / 2 for name, v in velocity.items()})


def a_function() -> Callable[[int], float]:
    """Return a new function at each call, as another process would have."""
    return lambda step: 0.05 / (step + 1)


def drawing(**kwargs: Any) -> Trainer:
    """Return a training that uses random draws, counters and averages, all at once."""
    rng = np.random.default_rng(4)
    model = models.Model(
        *(nn.AvgPool2d(4), nn.Conv2d(1, 4, 3, padding=1, rng=rng), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Residual(nn.Conv2d(4, 4, 3, padding=1, rng=rng), nn.Dropout(0.3, rng=rng)),),
        *(nn.Flatten(), nn.Linear(196, 8, rng=rng), nn.BatchNorm1d(8), nn.Dropout(0.2, rng=rng)),
        nn.Linear(8, 10, rng=rng),
    )
    settings = {"ema": 0.9, "max_shift": 2, "augment": Warp(), **kwargs}
    return Trainer(model, optim.AdamW(model.parameters(), 0.01), **settings)


def plain(**kwargs: Any) -> Trainer:
    return trainer(models.mlp((8,), seed=2), **kwargs)


HANDLED: list[Trainer] = []
SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "schedule": lambda: {"schedule": OneCycle(0.05, 16)},
    "average": lambda: {"ema": 0.9, "keep_epochs": True},
    "smoothed": lambda: {"loss": losses.CrossEntropyLoss(label_smoothing=0.1)},
    "changed by a handler": lambda: {"handlers": [lower_the_rate]},
    "a function": lambda: {"schedule": a_function()},
    "all at once": lambda: {"make": drawing, "schedule": OneCycle(0.05, 16)},
}


def new(folder: Path, *handlers: Callable[[Event], object], **kwargs: Any) -> Trainer:
    kwargs["handlers"] = [*kwargs.get("handlers", ()), *handlers]
    HANDLED.append(kwargs.pop("make", plain)(run=folder, **kwargs))
    return HANDLED[-1]


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_the_bits_of_an_uninterrupted_run(name: str, tmp_path: Path) -> None:
    settings = SETTINGS[name]
    whole = new(tmp_path / "whole", **settings())
    expected = fit(whole)
    for epoch, batch in ((1, 2), (3, 1)):
        with pytest.raises(KeyboardInterrupt), byhand.num_threads(2):
            fit(new(tmp_path / "parts", interrupt(epoch, batch), **settings()), resume=True)
    started: list[Event] = []
    last = new(tmp_path / "parts", started.append, **settings())
    history = fit(last, resume=True)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    same = {"seconds": 0.0, "images_per_second": 0.0}
    assert [replace(end, **same) for end in history] == [replace(end, **same) for end in expected]
    assert isinstance(started[0], TrainingStarted) and started[0].history == tuple(history[:2])
    assert last.step == whole.step == 16
    for key, array in whole.model.state_dict().items():
        assert array.tobytes() == last.model.state_dict()[key].tobytes()


def test_the_same_trainer_goes_on(tmp_path: Path) -> None:
    fit(new(tmp_path / "whole", schedule=OneCycle(0.05, 16)))
    errors = iter([KeyboardInterrupt])

    def once(event: Event) -> None:
        if isinstance(event, BatchEnd) and (event.epoch, event.batch) == (3, 2):
            for error in errors:
                raise error

    training = new(tmp_path / "parts", once, schedule=OneCycle(0.05, 16))
    with pytest.raises(KeyboardInterrupt):
        fit(training)
    fit(training, resume=True)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_more_epochs_than_before(tmp_path: Path) -> None:
    fit(new(tmp_path / "whole"))
    fit(new(tmp_path / "parts"), epochs=2)
    history = fit(new(tmp_path / "parts"), resume=True)
    assert [(end.epoch, end.epochs) for end in history] == [(1, 2), (2, 2), (3, 4), (4, 4)]
    parts, whole = files(tmp_path / "parts"), files(tmp_path / "whole")
    assert parts.pop("metrics.jsonl") != whole.pop("metrics.jsonl")
    assert parts == whole


def test_a_schedule_over_more_epochs(tmp_path: Path) -> None:
    """The learning rate continues on the longer cycle, also if that run is interrupted, too."""
    rates: list[tuple[int, float]] = []

    def note(event: Event) -> None:
        if isinstance(event, BatchEnd):
            rates.append((event.epoch, event.lr))

    def longer() -> dict[str, Any]:
        return {"schedule": OneCycle(0.05, 16)}

    for name in ("whole", "parts"):
        fit(new(tmp_path / name, schedule=OneCycle(0.05, 8)), epochs=2)
    history = fit(new(tmp_path / "whole", note, **longer()), resume=True)
    assert [(end.epoch, end.epochs) for end in history] == [(1, 2), (2, 2), (3, 4), (4, 4)]
    assert rates == [(3 + i // 4, OneCycle(0.05, 16)(8 + i)) for i in range(8)]
    with pytest.raises(KeyboardInterrupt):
        fit(new(tmp_path / "parts", interrupt(4, 2), **longer()), resume=True)
    fit(new(tmp_path / "parts", **longer()), resume=True)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert RunFolder(tmp_path / "whole").config()["schedule"]["total_steps"] == 16


def test_another_schedule_over_the_same_epochs_is_refused(tmp_path: Path) -> None:
    fit(new(tmp_path, schedule=OneCycle(0.05, 16)))
    with pytest.raises(ResumeError, match="number of steps of the schedule was 16 and is 20"):
        fit(new(tmp_path, schedule=OneCycle(0.05, 20)), resume=True)
    with pytest.raises(ResumeError, match=r"the peak learning rate was 0\.05 and is 0\.06\n"):
        fit(new(tmp_path, schedule=OneCycle(0.06, 20)), resume=True, epochs=5)


class Halving:
    """A user's schedule whose repr shows only its address."""

    def __init__(self, first: float, every: int) -> None:
        self.first, self.every = first, every
        self.base = 2.0

    def __call__(self, step: int) -> float:
        return float(self.first) / self.base ** (step // self.every)


def test_schedules_compare_by_value(tmp_path: Path) -> None:
    fit(new(tmp_path / "a", schedule=OneCycle(0.5, 16)), epochs=2)
    fit(new(tmp_path / "a", schedule=OneCycle(np.float32(0.5), np.int64(16))), resume=True)
    fit(new(tmp_path / "b", schedule=Halving(0.05, 4)), epochs=2)
    fit(new(tmp_path / "b", schedule=Halving(0.05, 4)), resume=True)
    with pytest.raises(ResumeError, match=r"schedule\.every was 4 and is 5"):
        fit(new(tmp_path / "b", schedule=Halving(0.05, 5)), resume=True)
    other = Halving(0.05, 4)
    other.base = 3.0  # not an argument of the class, but a setting
    with pytest.raises(ResumeError, match=r"schedule\.base was 2\.0 and is 3\.0"):
        fit(new(tmp_path / "b", schedule=other), resume=True)


def test_a_run_of_an_earlier_version(tmp_path: Path) -> None:
    """A run of an earlier version resumes.

    Its config.json holds the repr of schedule and loss, and not which epoch counts.
    """
    schedule = OneCycle(0.05, 16)
    with pytest.raises(KeyboardInterrupt):
        fit(new(tmp_path, interrupt(3, 2), schedule=schedule))
    config = RunFolder(tmp_path).config()
    del config["counts"]
    config |= {"schedule": repr(schedule), "loss": repr(losses.CrossEntropyLoss())}
    RunFolder(tmp_path).config_path.write_text(json.dumps(config))
    assert RunFolder(tmp_path).choose().epoch in (1, 2)
    with pytest.raises(ResumeError, match=r"label_smoothing=0\.1"):
        smoothed = losses.CrossEntropyLoss(label_smoothing=0.1)
        fit(new(tmp_path, schedule=schedule, loss=smoothed), resume=True)
    assert len(fit(new(tmp_path, schedule=schedule), resume=True)) == 4
    assert RunFolder(tmp_path).config()["schedule"]["type"] == "OneCycle"


def test_a_run_whose_sgd_counted_no_steps(tmp_path: Path) -> None:
    """Earlier versions of SGD had no dampening, and their state did not count the steps."""
    fit(new(tmp_path / "whole"))
    run = RunFolder(tmp_path / "old")
    with pytest.raises(KeyboardInterrupt):
        fit(new(run.path, interrupt(3, 2)))
    config = run.config()
    del config["optimizer"]["dampening"]
    run.config_path.write_text(json.dumps(config))
    tensors, description = read_tensors(run.path / "state.safetensors")
    del tensors["optimizer.steps"], description["optimizer"]["dampening"]
    (run.path / "state.safetensors").write_bytes(tensors_file(tensors, description))
    fit(new(run.path), resume=True)
    resumed, whole = files(run.path), files(tmp_path / "whole")
    del resumed["config.json"], whole["config.json"]
    assert resumed == whole


def test_a_run_that_is_finished(tmp_path: Path) -> None:
    expected = fit(new(tmp_path))
    before = files(tmp_path)
    events: list[Event] = []
    again = new(tmp_path, events.append)
    assert fit(again, resume=True) == expected
    assert [type(event).__name__ for event in events] == ["TrainingStarted", "TrainingEnded"]
    assert files(tmp_path) == before
    last = byhand.load(tmp_path / "model.safetensors").state_dict()
    assert all(np.array_equal(last[k], a) for k, a in again.model.state_dict().items())
    assert again.model.trained == byhand.load(tmp_path / "model.safetensors").trained is not None


def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    fit(new(tmp_path / "whole"))
    training = new(tmp_path / "parts", interrupt(3, 2, StopTraining))
    assert len(fit(training)) == 2
    fit(new(tmp_path / "parts"), resume=True)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def changed_pixel(n: int, seed: int = 0) -> Any:
    images, labels = digits(n, seed)
    images[5, 5, 5] ^= 1
    return images, labels


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "model": ({"model": models.mlp((9,))}, {}, r"model\.layers\..* was 8 and is 9"),
    "rate": ({"lr": 0.03}, {}, "the learning rate was 0.02 and is 0.03"),
    "schedule": (
        {"schedule": OneCycle(0.1, 16)},
        {},
        r"\n  the schedule of the learning rate was none and is OneCycle\(max_lr=0\.1, ",
    ),
    "loss": (
        {"loss": losses.MSELoss()},
        {},
        r"the loss was CrossEntropyLoss\(.*\) and is MSELoss\(.*\)\n",
    ),
    "average": ({"ema": 0.9}, {}, r"the average of the weights \(ema\) was none and is 0\.9"),
    "batches": ({}, {"batch_size": 15}, "the batch size was 16 and is 15"),
    "seed": ({}, {"seed": 4}, "the seed was 3 and is 4"),
    "pixel": ({}, {"train": changed_pixel(60)}, "checksum of the training data was"),
    "label": (
        {},
        {"train": (digits(60)[0], digits(60)[1][::-1])},
        "checksum of the training data was",
    ),
    "images": ({}, {"train": digits(59)}, "the number of training images was 60 and is 59"),
    "validation": (
        {},
        {"validation": changed_pixel(20, 1)},
        "checksum of the validation data was",
    ),
    "none": ({}, {"validation": None}, "the number of validation images was 20 and is 0"),
    "epochs": ({}, {"epochs": 1}, "epochs must be at least 2, because .* already has 2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_another_run_is_refused(name: str, tmp_path: Path) -> None:
    fit(new(tmp_path), epochs=2)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    settings, arguments, message = OTHERS[name]
    other = trainer(
        settings.get("model", models.mlp((8,), seed=2)),
        run=tmp_path,
        **{key: value for key, value in settings.items() if key != "model"},
    )
    weights = other.model.state_dict()
    with pytest.raises(ResumeError, match=message) as caught:
        fit(other, resume=True, **arguments)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert all(np.array_equal(weights[k], a) for k, a in other.model.state_dict().items())
    assert all(len(line) < 250 for line in str(caught.value).splitlines()[1:])


def test_another_optimizer_is_refused(tmp_path: Path) -> None:
    fit(new(tmp_path), epochs=1)
    model = models.mlp((8,), seed=2)
    with pytest.raises(ResumeError, match=r"the momentum was 0\.9 and is 0\.8"):
        fit(
            Trainer(model, optim.SGD(model.parameters(), 0.02, 0.8, nesterov=True), run=tmp_path),
            resume=True,
        )


def test_files_that_run_ahead_of_the_state(tmp_path: Path) -> None:
    """A process was killed between two renames: epoch 3 is incomplete."""
    fit(new(tmp_path / "whole"))
    fit(new(tmp_path / "parts"), epochs=2)
    early = (tmp_path / "parts" / "state.safetensors").read_bytes()
    fit(new(tmp_path / "parts"), epochs=3, resume=True)
    (tmp_path / "parts" / "state.safetensors").write_bytes(early)
    (tmp_path / "parts" / ".best.safetensors.0123abcd.tmp").write_bytes(b"half")
    lines: list[int] = []

    def count(event: Event) -> None:
        if isinstance(event, TrainingStarted):
            lines.append(len(RunFolder(tmp_path / "parts").history()))

    fit(new(tmp_path / "parts", count), resume=True)
    assert lines == [2]
    parts, whole = files(tmp_path / "parts"), files(tmp_path / "whole")
    epochs = [line.pop("epochs") for line in parts["metrics.jsonl"]]
    assert epochs == [2, 2, 4, 4]
    assert [line.pop("epochs") for line in whole["metrics.jsonl"]] == [4] * 4
    assert parts == whole


def test_what_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="resume needs a run folder"):
        fit(trainer(), resume=True)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "model.safetensors").write_bytes(b"")
    with pytest.raises(FileExistsError, match="would overwrite"):
        fit(new(tmp_path / "theirs"), resume=True)
    for name, error in (
        ("state.safetensors", "CRC|checkpoint|damaged|whole"),
        ("metrics.jsonl", "does not list epochs|not all of"),
    ):
        fit(new(tmp_path / name), epochs=2)
        path = tmp_path / name / name
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(CheckpointError, match=f"{name}.*({error})"):
            fit(new(tmp_path / name), resume=True)


# --------------------------------------------------------------------------------------------------
# kill -9

KILLER = """
import os, random, signal, sys, time
from byhand import models, optim, set_num_threads
from byhand.training import Trainer
from networks import digits

set_num_threads(1)  # no thread lives, so that fork is safe
DATA, VALIDATION = digits(40), digits(10, seed=1)
root, killed = sys.argv[1], 0

def train(folder):
    model = models.mlp((4,), seed=1)
    optimizer = optim.SGD(model.parameters(), 0.02, 0.9)
    training = Trainer(model, optimizer, run=folder, ema=0.9, keep_epochs=True)
    training.fit(DATA, epochs=8, batch_size=16, validation=VALIDATION, seed=5, resume=True)

def child(folder, at_rename=None):
    pid = os.fork()
    if pid:
        return pid
    if at_rename is not None:
        replace, left = os.replace, [at_rename]
        def dying(*paths):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            replace(*paths)
        os.replace = dying
    try:
        train(folder)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)

def was_killed(pid):
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return code != 0

start = time.perf_counter()
assert not was_killed(child(f"{root}/whole"))
seconds = time.perf_counter() - start
runs = 0
while killed < 20:  # at any moment; a run that is killed goes on, one that ends makes room
    pid = child(f"{root}/{runs}")
    time.sleep(random.uniform(0, seconds / 2))
    os.kill(pid, signal.SIGKILL)
    if was_killed(pid):
        killed += 1
    else:
        runs += 1
assert not was_killed(child(f"{root}/{runs}"))
runs += 1
for renames in range(12):  # before each rename of a beginning, of an epoch, of a resumption
    assert was_killed(child(f"{root}/{runs}", renames))
assert not was_killed(child(f"{root}/{runs}"))
print(runs + 1)
"""


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stderr
    whole = files(tmp_path / "whole")
    assert len(whole) == 5 + 8
    runs = int(done.stdout)
    for run in range(runs):
        assert files(tmp_path / str(run)) == whole, run
