"""The files of a run folder: after every epoch, at the end, and after training is stopped."""

from __future__ import annotations

import json
import os
import resource
from dataclasses import asdict
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import numpy.typing as npt
import pytest
from byhand import models, optim
from byhand.files.tensors import CheckpointError, read_tensors
from byhand.optim.schedules import OneCycle
from byhand.plots.live import LivePlot
from byhand.training import BatchEnd, EpochEnd, Event, Trainer
from byhand.training.handlers import LogFile
from byhand.training.run_folder import RunFolder
from networks import digits, trainer
from PIL import Image

Array = npt.NDArray[Any]


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


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
    config = json.loads(run.config_path.read_text())
    assert config["model"] == training.model.description()
    assert config["optimizer"]["type"] == "SGD" and config["optimizer"]["momentum"] == 0.9
    assert config["schedule"] == {"type": "OneCycle", **asdict(schedule)}
    assert config["loss"]["type"] == "CrossEntropyLoss" and config["counts"] == "best"
    assert [config[key] for key in ("epochs", "batch_size", "seed", "images")] == [3, 16, 7, 60]
    assert config["validation_images"] == 20 and config["notes"] == {"data": "digits"}
    assert config["byhand"] == byhand.__version__
    assert config["threads"] == byhand.get_num_threads()
    assert metrics(run.path) == [asdict(end) for end in history]

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
    """After the first epoch, a negative learning rate makes the loss rise."""
    weights: list[dict[str, Array]] = []
    training = uphill_after_the_first(
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
    assert metrics(tmp_path)[0]["validation_loss"] is None


def test_a_trained_run_is_not_overwritten(tmp_path: Path) -> None:
    fit_in(tmp_path, epochs=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match="already holds a trained run"):
        fit_in(tmp_path, epochs=1)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def uphill_after_the_first(**kwargs: Any) -> Trainer:
    return trainer(schedule=lambda step: 0.01 if step < 4 else -0.01, **kwargs)


@pytest.mark.parametrize("by_validation", [True, False])
def test_which_epoch_counts(by_validation: bool, tmp_path: Path) -> None:
    training = uphill_after_the_first(run=tmp_path, notes={"validation": "the test set"})
    run = RunFolder(tmp_path)
    training.fit(
        digits(60),
        epochs=3,
        batch_size=16,
        validation=digits(20, seed=1),
        choose_by_validation=by_validation,
    )
    best = (run.best_path, 1, "epoch 1 of 3, the one with the lowest loss on the test set")
    last = (run.model_path, 3, "epoch 3 of 3, the last one")
    assert run.choose() == (best if by_validation else last)
    assert run.choose("best") == run.choose(1) == run.choose("1") == best
    assert run.choose("last") == run.choose(3) == last
    with pytest.raises(CheckpointError, match=r"no model of epoch 2, only of 1 \(best\) and 3"):
        run.choose(2)
    for wrong in ("first", 0, -1, 1.0, True, ""):
        with pytest.raises(ValueError, match="epoch must be 'best', 'last' or a number from 1"):
            run.choose(wrong)  # type: ignore[arg-type]


def test_which_epoch_counts_without_validation(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors: it is not a run folder"):
        run.choose()
    training = trainer(run=tmp_path, keep_epochs=True)
    with pytest.raises(KeyboardInterrupt):
        Trainer(training.model, training.optimizer, run=tmp_path, handlers=[interrupt]).fit(
            digits(20), epochs=2
        )
    with pytest.raises(FileNotFoundError, match="no epoch of the run was finished"):
        run.choose()
    training.fit(digits(20), epochs=2)
    assert run.choose() == (run.model_path, 2, "epoch 2 of 2, the last one")
    assert run.choose(1) == (run.epoch_path(1), 1, "epoch 1 of 2")
    with pytest.raises(CheckpointError, match="no best epoch, because the run had no"):
        run.choose("best")
    run.config_path.unlink()  # copied models work without config.json
    assert run.choose().epoch == 2


def interrupt(event: Event) -> None:
    if isinstance(event, BatchEnd):
        raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    "lost",
    [
        ["state.safetensors"],
        ["state.safetensors", "config.json"],
        ["state.safetensors", "metrics.jsonl"],
        ["state.safetensors", "metrics.jsonl", "config.json", "best.safetensors"],
        ["state.safetensors", "metrics.jsonl", "best.safetensors", "model.safetensors"],
    ],
)
def test_what_is_left_of_a_trained_run_is_not_overwritten(
    lost: list[str], resume: bool, tmp_path: Path
) -> None:
    """A trained run is not overwritten, even if files are missing or the run was short."""
    for epochs in (1, 2):
        folder = tmp_path / str(epochs)
        fit_in(folder, epochs=epochs, keep_epochs=True)
        for name in lost:
            (folder / name).unlink()
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with pytest.raises(FileExistsError, match="which training would overwrite"):
            trainer(run=folder).fit(digits(60), epochs=epochs, resume=resume)
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert after == before


def test_a_run_without_a_whole_epoch_is_begun_again(tmp_path: Path) -> None:
    """A run without a complete epoch starts again, whatever files a killed process left."""
    fit_in(tmp_path / "whole", epochs=1)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    for number, left in enumerate((["model"], ["model", "best"], ["model", "best", "metrics"])):
        folder = tmp_path / str(number)

        with pytest.raises(KeyboardInterrupt):
            fit_in(folder, epochs=1, handlers=[interrupt])
        for name in whole:
            if name.split(".")[0] in left:
                (folder / name).write_bytes(whole[name])
        (folder / ".state.safetensors.0123abcd.tmp").write_bytes(b"half")
        (folder / "epochs").mkdir()
        (folder / "epochs" / ".00001.safetensors.0123abcd.tmp").write_bytes(b"half")
        fit_in(folder, epochs=1)
        assert sorted(path.name for path in folder.iterdir()) == sorted([*whole, "epochs"])
        assert not any((folder / "epochs").iterdir())
        for name in ("model.safetensors", "state.safetensors", "config.json"):
            assert (folder / name).read_bytes() == whole[name]


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
    assert len(metrics(tmp_path)) == 1


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    training = trainer(models.mlp((8,)), run=tmp_path, schedule=lambda s: 0.01 if s < 5 else 1e30)
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) in batch \d of epoch 2"):
        training.fit(digits(40), epochs=3, batch_size=8)
    assert len(metrics(tmp_path)) == 1


def test_a_validation_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    training = trainer(models.mlp((8,)), run=tmp_path, schedule=lambda s: 0.01 if s < 9 else 1e38)
    with pytest.raises(FloatingPointError, match=r"the validation loss is (nan|inf) after epoch 2"):
        training.fit(digits(40), epochs=2, batch_size=8, validation=digits(10))
    assert len(metrics(tmp_path)) == 1


def test_an_epoch_that_finds_no_room_leaves_the_one_before(tmp_path: Path) -> None:
    """If an epoch does not fit on the disk, the previous one stays complete.

    The state is twice as large as the model and is renamed after it.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    files: dict[Path, bytes] = {}

    def fill_the_disk(event: Event) -> None:
        if isinstance(event, EpochEnd):
            files.update({path: path.read_bytes() for path in tmp_path.iterdir()})
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))

    try:
        with pytest.raises(OSError, match=r"could not write.*state\.safetensors"):
            fit_in(tmp_path, handlers=[fill_the_disk])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(files) == 5
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_numbers_of_numpy_can_be_written(tmp_path: Path) -> None:
    rate = np.float32(0.02)
    model = models.softmax_regression()
    optimizer = optim.SGD(model.parameters(), rate, np.float32(0.5), weight_decay=np.float32(0.1))
    history = Trainer(model, optimizer, run=tmp_path / "a").fit(digits(20), epochs=1)
    training = trainer(run=tmp_path / "b", schedule=lambda _: rate)
    history += training.fit(digits(20), epochs=np.int64(1), batch_size=np.int64(8))
    training = trainer(run=tmp_path / "c")
    training.optimizer.lr = rate
    history += training.fit(digits(20), epochs=1)
    assert [type(end.lr) for end in history] == [float] * 3
    assert {end.lr for end in history} == {float(rate)}
    assert all((tmp_path / name / "state.safetensors").exists() for name in "abc")


def test_two_trainings_cannot_share_a_folder(tmp_path: Path) -> None:
    def handler(event: Event) -> None:
        if isinstance(event, BatchEnd):
            fit_in(tmp_path)

    with pytest.raises(FileExistsError, match="going on"):
        fit_in(tmp_path, handlers=[handler])
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    fit_in(tmp_path)  # the folder can be used again


def test_an_unwritable_folder_is_noticed_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    events: list[Event] = []
    training = trainer(run=tmp_path / "file", handlers=[events.append])
    with pytest.raises(OSError, match="file"):
        training.fit(digits(20), epochs=1)
    assert events == [] and training.step == 0


def test_a_run_without_its_config_is_not_overwritten(tmp_path: Path) -> None:
    images, labels = np.zeros((8, 28, 28), np.uint8), np.zeros(8, np.int64)

    def fit(resume: bool) -> None:
        model = models.softmax_regression(seed=0)
        trainer = Trainer(model, optim.SGD(model.parameters(), 0.1), run=tmp_path)
        trainer.fit((images, labels), epochs=2, resume=resume)

    fit(resume=False)
    (tmp_path / "config.json").unlink()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match=r"without its config\.json.*put that file back"):
        fit(resume=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="file is not a folder, so it cannot be a run folder"):
        fit_in(tmp_path / "file")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    model = models.softmax_regression()
    log, plot = LogFile("~/log.csv"), LivePlot("~/plot.png")
    Trainer(model, optim.SGD(model.parameters(), 0.1), run="~/run", handlers=[log]).fit(
        (np.zeros((4, 28, 28), np.uint8), np.arange(4)), epochs=1
    )
    model.save("~/model.safetensors")
    for path in ("~/run", "~/model.safetensors"):
        assert byhand.load(path).classes == 10
    Image.new("L", (28, 28), 9).save(tmp_path / "home" / "9.png")
    assert model.predict("~/9.png", pictures="plain").shape == (1,)
    assert plot.path == tmp_path / "home" / "plot.png"
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    written = sorted(path.name for path in (tmp_path / "home").iterdir())
    assert written == ["9.png", "log.csv", "model.safetensors", "run"]


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    """A pipe in place of a file is not read, because reading would never end."""
    os.mkfifo(tmp_path / "pipe")
    for read in (byhand.load, models.softmax_regression().predict):
        with pytest.raises(OSError, match=r"a device, a pipe or a socket, not a file: .*pipe'"):
            read(tmp_path / "pipe")
    for name in ("config.json", "metrics.jsonl"):
        os.mkfifo(tmp_path / name)
    for read in (RunFolder(tmp_path).config, RunFolder(tmp_path).history):
        with pytest.raises(OSError, match="a device, a pipe or a socket, not a file"):
            read()
