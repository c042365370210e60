"""`byhand info MODEL`, byhand.load of a run folder, and what a model file records of training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import models
from byhand.files.tensors import CheckpointError
from cli_support import make_sets, only_line, run, write_folder

SETS = make_sets(train=200, test=50)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of three epochs that keeps the model of each. Its data lie beside it."""
    folder = tmp_path_factory.mktemp("info")
    data = write_folder(folder / "data", SETS)
    options = ("--epochs", 3, "--keep-epochs", "--pictures", "plain")
    run("train", "softmax", "--data", data, "--out", folder / "run", *options)
    return folder / "run"


def rows(*arguments: object) -> dict[str, str]:
    printed = run("info", *arguments).stdout
    lines = printed.split("\n\n")[0].splitlines()
    return {line[:12].strip(): line[12:] for line in lines}


def test_info_of_a_run(trained: Path) -> None:
    shown = rows(trained)
    assert shown["model"] == f"{trained}: 7,850 parameters"
    assert shown["epoch"].startswith("epoch 3 of 3")
    assert shown["classes"] == "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert shown["images"] == "1 x 28 x 28 (channels x height x width)"
    assert shown["pictures"] == "plain: only resized"
    assert shown["trained on"] == f"200 images, {trained.parent / 'data'}"
    assert shown["network"] == "softmax"
    assert shown["recipe"] == (
        "SGD, one cycle up to the learning rate 0.05, momentum 0.9 (Nesterov), weight decay 0; "
        "3 epochs, batches of 128 images, seed 0"
    )
    accuracy = json.loads((trained / "metrics.jsonl").read_text().splitlines()[2])
    percent = f"{100 * accuracy['validation_accuracy']:.2f} %"
    assert shown["accuracy"] == f"{percent} of 50 validation images, after epoch 3"
    assert "Linear(784, 10)" in run("info", trained).stdout
    first = rows(trained, "--epoch", 1)
    assert first["epoch"].startswith("epoch 1 of 3")
    assert first["accuracy"].endswith("after epoch 1")


def test_long_rows_are_wrapped_on_a_terminal(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    whole = rows("model.safetensors")
    monkeypatch.setattr("byhand.cli.output.is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "50")
    wrapped = run("info", "model.safetensors").stdout.split("\n\n")[0]
    assert len(wrapped.splitlines()) > len(whole)
    paths = [line for line in wrapped.splitlines() if line.strip().startswith("/")]
    assert max(len(line) for line in wrapped.splitlines() if line not in paths) < 50
    assert wrapped.replace("\n" + 12 * " ", " ") == "\n".join(
        f"{name:12}{text}" for name, text in whole.items()
    )


def test_info_of_a_file(trained: Path, tmp_path: Path) -> None:
    """A copy of a model file still shows its training, but not the folder of its data."""
    shutil.copy(trained / "model.safetensors", tmp_path / "copy.safetensors")
    shown = rows(tmp_path / "copy.safetensors")
    assert shown["trained on"] == "200 images" and shown["accuracy"].endswith("after epoch 3")
    assert "epoch" not in shown
    names = ["apple", "banana", "cherry"]
    model = models.mlp((4,), input_shape=(3, 8, 9), classes=3)
    model.class_names = names
    model.save(tmp_path / "new.safetensors")
    shown = rows(tmp_path / "new.safetensors")
    assert shown["classes"] == "3: apple, banana, cherry"
    assert shown["images"].startswith("3 x 8 x 9") and shown["pictures"].startswith("plain")
    assert shown["trained on"] == "not recorded in the file" and "accuracy" not in shown


def test_info_refuses(trained: Path, tmp_path: Path) -> None:
    assert "MODEL" in run("info", "--epoch", "last", code=2).stderr
    assert str(tmp_path) in only_line(run("info", tmp_path, code=1))
    missing = tmp_path / "none.safetensors"
    assert str(missing) in only_line(run("info", missing, code=1))


def test_load_takes_a_run_folder(trained: Path, tmp_path: Path) -> None:
    """byhand.load takes the epoch that counts, as the commands do."""
    chosen = byhand.load(trained)
    last = byhand.load(trained / "model.safetensors").state_dict()
    assert all(np.array_equal(last[name], a) for name, a in chosen.state_dict().items())
    for epoch in (1, 2, "1"):
        own = byhand.load(trained / "epochs" / f"{int(epoch):05}.safetensors").state_dict()
        got = byhand.load(str(trained), epoch=epoch).state_dict()
        assert all(np.array_equal(own[name], got[name]) for name in own)
    assert not np.array_equal(byhand.load(trained, 1).state_dict()["1.weight"], last["1.weight"])
    with pytest.raises(CheckpointError, match="keeps no model of epoch 9"):
        byhand.load(trained, 9)
    with pytest.raises(FileNotFoundError, match="it is not a run folder"):
        byhand.load(tmp_path)
    with pytest.raises(ValueError, match="epoch must be left out"):
        byhand.load(trained / "model.safetensors", "best")


def test_a_file_keeps_what_its_training_was(tmp_path: Path) -> None:
    model = models.softmax_regression()
    assert model.trained is None
    optimizer = byhand.optim.SGD(model.parameters(), lr=0.01)
    byhand.Trainer(model, optimizer).fit(SETS[0], epochs=2, validation=SETS[1])
    accuracy = byhand.evaluate(model, SETS[1]).accuracy
    expected = {"epoch": 2, "images": 200, "validation_images": 50}
    assert model.trained == {**expected, "validation_accuracy": accuracy}
    model.save(tmp_path / "model.safetensors")
    assert byhand.load(tmp_path / "model.safetensors").trained == model.trained


def test_a_run_of_the_version_before_goes_on(trained: Path, tmp_path: Path) -> None:
    """A run of the version before resumes.

    Its config.json says pictures: mnist. Training does not depend on this setting.
    """
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    config["model"]["preprocessing"]["pictures"] = "mnist"
    (folder / "config.json").write_text(json.dumps(config))
    run("train", "--resume", folder, "--epochs", 4, "--keep-epochs")
    assert byhand.load(folder).trained["epoch"] == 4  # type: ignore[index]
