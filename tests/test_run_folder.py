"""What training leaves in a run folder: after every epoch, at the end, and when it is stopped."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import numpy.typing as npt
import pytest
from byhand import models
from byhand.checkpoint import RunFolder, read_tensors
from byhand.schedules import OneCycle
from byhand.training import BatchEnd, EpochEnd, Event, Trainer
from networks import digits, trainer

Array = npt.NDArray[Any]


def fit_in(folder: Path, epochs: int = 3, **kwargs: Any) -> tuple[Trainer, list[EpochEnd]]:
    training = trainer(run=folder, notes={"data": "digits"}, **kwargs)
    history = training.fit(
        digits(60), epochs=epochs, batch_size=16, validation=digits(20, seed=1), seed=7
    )
    return training, history


def test_a_run_folder_has_it_all(tmp_path: Path) -> None:
    schedule = OneCycle(0.05, 12)
    training, history = fit_in(tmp_path / "run", schedule=schedule)
    run = RunFolder(tmp_path / "run")
    assert sorted(path.name for path in run.path.iterdir()) == [
        "best.safetensors",
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "state.safetensors",
    ]
    config = run.read_config()
    assert config["model"] == training.model.description()
    assert config["optimizer"]["type"] == "SGD" and config["optimizer"]["momentum"] == 0.9
    assert config["schedule"] == repr(schedule) and config["loss"] == repr(training.loss)
    assert [config[key] for key in ("epochs", "batch_size", "seed", "images")] == [3, 16, 7, 60]
    assert config["validation_images"] == 20 and config["notes"] == {"data": "digits"}
    assert config["byhand"] == byhand.__version__
    assert config["threads"] == byhand.get_num_threads()
    assert run.read_metrics() == [asdict(end) for end in history]

    last = byhand.load(run.model_path).state_dict()
    tensors, state = read_tensors(run.state_path)
    for name, array in training.model.state_dict().items():
        assert np.array_equal(last[name], array)
        assert np.array_equal(tensors.pop(f"model.{name}"), array)
    for name, array in training.optimizer.state_dict().items():
        assert np.array_equal(tensors.pop(f"optimizer.{name}"), array) and array.any()
    assert not tensors
    assert [state[key] for key in ("epoch", "step", "seed", "batch_size")] == [3, 12, 7, 16]


def test_best_is_the_lowest_validation_loss(tmp_path: Path) -> None:
    """Steps uphill after the first epoch."""
    weights: list[dict[str, Array]] = []
    training = trainer(
        schedule=lambda step: 0.01 if step < 4 else -0.01,
        run=tmp_path,
        handlers=[
            lambda e: weights.append(model.state_dict()) if isinstance(e, EpochEnd) else None
        ],
    )
    model = training.model
    history = training.fit(digits(60), epochs=3, batch_size=16, validation=digits(20, seed=1))
    scores = [end.validation_loss for end in history]
    assert scores[0] == min(scores) and scores[1] > scores[0]
    assert [end.best for end in history] == [True, False, False]
    best = byhand.load(tmp_path / "best.safetensors").state_dict()
    assert all(np.array_equal(best[name], array) for name, array in weights[0].items())


def test_without_validation_there_is_no_best(tmp_path: Path) -> None:
    trainer(run=tmp_path).fit(digits(20), epochs=1)
    assert not (tmp_path / "best.safetensors").exists()
    assert RunFolder(tmp_path).read_metrics()[0]["validation_loss"] is None


def test_a_trained_run_is_not_overwritten(tmp_path: Path) -> None:
    fit_in(tmp_path, epochs=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match="already holds a trained run"):
        fit_in(tmp_path, epochs=1)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_leaves_the_last_whole_epoch(
    error: type[BaseException], tmp_path: Path
) -> None:
    files: dict[Path, bytes] = {}

    def handler(event: Event) -> None:
        if isinstance(event, EpochEnd):
            files.update({path: path.read_bytes() for path in tmp_path.iterdir()})
        if isinstance(event, BatchEnd) and (event.epoch, event.batch) == (2, 3):
            raise error

    with pytest.raises(error):
        fit_in(tmp_path, handlers=[handler])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert read_tensors(tmp_path / "state.safetensors")[1]["epoch"] == 1
    assert len(RunFolder(tmp_path).read_metrics()) == 1


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    training = trainer(models.mlp((8,)), run=tmp_path, schedule=lambda s: 0.01 if s < 5 else 1e30)
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) in batch \d of epoch 2"):
        training.fit(digits(40), epochs=3, batch_size=8)
    assert len(RunFolder(tmp_path).read_metrics()) == 1


def test_a_validation_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    training = trainer(models.mlp((8,)), run=tmp_path, schedule=lambda s: 0.01 if s < 9 else 1e38)
    with pytest.raises(FloatingPointError, match=r"the validation loss is (nan|inf) after epoch 2"):
        training.fit(digits(40), epochs=2, batch_size=8, validation=digits(10))
    assert len(RunFolder(tmp_path).read_metrics()) == 1


def test_an_unwritable_folder_is_noticed_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    events: list[Event] = []
    training = trainer(run=tmp_path / "file", handlers=[events.append])
    with pytest.raises(OSError, match="file"):
        training.fit(digits(20), epochs=1)
    assert events == [] and training.step == 0
