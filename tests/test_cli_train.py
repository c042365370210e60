"""`byhand train`: the run folder, the lines that it prints, what it refuses."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import models, optim
from byhand.cli.app import app
from byhand.cli.job import Init, Method, ModelName, Schedule, job_of
from byhand.data import Dataset, load_folder
from byhand.models import load
from byhand.nn.initializers import INITIALIZERS
from byhand.training import Warp
from byhand.training.recipes import BEST, RECIPES, SCHEDULE_NAMES
from cli_support import make_sets, only_line, read_config, read_metrics, run, write_folder
from PIL import Image
from typer.testing import CliRunner

SETS = make_sets(train=300, test=100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), SETS)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run folder, and what the training printed."""
    out = tmp_path_factory.mktemp("runs") / "softmax"
    result = run("train", "softmax", "--data", folder, "--out", out, "--epochs", 3, curves=True)
    assert result.stderr == ""
    return out, result.stdout


def test_train_writes_a_run_folder(trained: tuple[Path, str], folder: Path) -> None:
    out, _ = trained
    assert sorted(path.name for path in out.iterdir()) == [
        "best.safetensors",
        "config.json",
        "curves.png",
        "metrics.jsonl",
        "model.safetensors",
        "state.safetensors",
    ]
    with Image.open(out / "curves.png", formats=["PNG"]) as picture:
        picture.load()
    notes = read_config(out)["notes"]
    assert notes["data"] == str(folder)
    assert notes["model"] == "softmax"
    assert "test set" in notes["validation"]


def test_train_prints_plain_lines_one_an_epoch(trained: tuple[Path, str], folder: Path) -> None:
    out, printed = trained
    assert not re.search(r"[^\n -~]", printed)
    rows = re.findall(
        r"^ *(\d+) +([\d.]+) +([\d.]+) % +([\d.]+) +([\d.]+) % +[\d.]+ +[\d,]+$", printed, re.M
    )
    metrics = read_metrics(out)
    assert rows == [
        (
            str(m["epoch"]),
            f"{m['loss']:.4f}",
            f"{100 * m['error']:.2f}",
            f"{m['validation_loss']:.4f}",
            f"{100 * m['validation_accuracy']:.2f}",
        )
        for m in metrics
    ]
    said = f"Test accuracy after epoch 3: {100 * metrics[-1]['validation_accuracy']:.2f} %. "
    assert f"{said}This is the last epoch. No epoch was chosen by its test accuracy." in printed
    best = min(metrics, key=lambda m: m["validation_loss"])
    chosen = f"Epoch {best['epoch']} had the lowest test loss"
    assert (chosen in printed) == (best is not metrics[-1])
    for shown in ("7,850 parameters", "300 training and 100 test images", str(folder), str(out)):
        assert shown in printed
    assert f"byhand predict {out} --test-image 3 --data {folder}" in printed


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_its_name(name: str, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", make_sets(train=40, test=10))
    run("train", name, "--data", data, "--out", tmp_path / "run", "--epochs", 1)
    expected = repr(RECIPES[name].model())
    assert repr(load(tmp_path / "run" / "model.safetensors")) == expected


def test_no_name_without_a_recipe() -> None:
    assert [name.value for name in ModelName] == list(RECIPES)
    assert [name.value for name in Method] == list(optim.OPTIMIZERS)
    assert [name.value for name in Init] == list(INITIALIZERS)
    assert [name.value for name in Schedule] == list(SCHEDULE_NAMES)


def test_options_reach_the_training(folder: Path, tmp_path: Path) -> None:
    before = byhand.get_num_threads()
    options = "--epochs 2 --batch-size 50 --lr 0.02 --momentum 0.5 --no-nesterov --weight-decay 0.1"
    more = "--activation tanh --seed 5 --threads 1"
    try:
        out = tmp_path / "run"
        run("train", "mlp", "--data", folder, "--out", out, *options.split(), *more.split())
    finally:
        byhand.set_num_threads(before)
    config = read_config(out)
    wanted = {"epochs": 2, "batch_size": 50, "seed": 5, "threads": 1}
    assert {key: config[key] for key in wanted} == wanted
    optimizer = config["optimizer"]
    assert (optimizer["momentum"], optimizer["nesterov"], optimizer["weight_decay"]) == (
        0.5,
        False,
        0.1,
    )
    assert config["schedule"]["max_lr"] == 0.02 and config["schedule"]["total_steps"] == 12
    assert config["notes"]["model"] == "mlp, tanh"
    assert [layer["type"] for layer in config["model"]["layers"]].count("Tanh") == 2


def test_augment_is_an_option(folder: Path, tmp_path: Path) -> None:
    """The run folder has the strengths, and a resumed run continues with them."""
    out = tmp_path / "run"
    options = "--epochs 1 --schedule constant --augment"
    printed = run("train", "softmax", "--data", folder, "--out", out, *options.split()).stdout
    words = "rotation 10 and shear 5 degrees, scale 0.1, shift 1 and elastic 0.8 pixels"
    assert words in " ".join(printed.split())
    config = read_config(out)
    assert config["augment"] == config["notes"]["job"]["augment"] == Warp().strengths()
    resumed = run("train", "--resume", out, "--epochs", 2).stdout
    assert words in " ".join(resumed.split())
    assert read_config(out)["augment"] == Warp().strengths()
    plain = tmp_path / "plain"
    run("train", "softmax", "--data", folder, "--out", plain, "--epochs", 1)
    assert read_config(plain)["augment"] is None
    said = run("train", "--resume", plain, "--augment", "--epochs", 2, code=1).stderr
    assert "the distortion of the images (augment) was none and is" in said


def test_optimizer_weights_and_shifts_are_options(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = "--epochs 1 --optimizer adamw --weight-decay 0.01 --init kaiming_normal --max-shift 2"
    printed = run("train", "mlp", "--data", folder, "--out", out, *options.split()).stdout
    config = read_config(out)
    assert config["optimizer"]["type"] == "AdamW" and config["optimizer"]["weight_decay"] == 0.01
    assert config["schedule"]["max_lr"] == 0.003 and config["max_shift"] == 2
    assert "AdamW, one cycle up to the learning rate 0.003, weight decay 0.01" in printed
    assert "kaiming_normal" in printed and "moved at random by up to 2 pixels" in printed
    job = job_of({**config["notes"]["job"], "data": None})
    assert np.array_equal(
        job.new_model(load_folder(folder)[0]).state_dict()["1.weight"],
        models.mlp(init="kaiming_normal").state_dict()["1.weight"],
    )


def test_a_constant_rate_and_other_hidden_layers(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = "--schedule constant --hidden 30,20 --activation tanh --lr 0.04 --epochs 2"
    printed = run("train", "mlp", "--data", folder, "--out", out, *options.split()).stdout
    assert "mlp 30-20, tanh: 24,380 parameters" in printed
    assert "SGD, constant learning rate 0.04, momentum 0.9 (Nesterov)" in printed
    assert {m["lr"] for m in read_metrics(out)} == {0.04}
    config = read_config(out)
    assert config["schedule"] == {"type": "Constant", "lr": 0.04}
    assert config["notes"]["model"] == "mlp 30-20, tanh"
    assert [repr(layer) for layer in load(out / "model.safetensors").children] == [
        repr(layer) for layer in models.mlp((30, 20), "tanh").children
    ]
    resumed = run("train", "--resume", out, "--epochs", 3).stdout
    assert "after epoch 2; the run now has 3 epochs instead of 2\n" in resumed
    assert [m["lr"] for m in read_metrics(out)] == [0.04] * 3
    assert "mlp 30-20, tanh" in resumed


def test_a_run_at_a_constant_rate_is_resumed_to_the_bit(folder: Path, tmp_path: Path) -> None:
    """Training two epochs and resuming for a third equals training three at once.

    A constant schedule does not depend on the number of epochs.
    """
    options = ("--schedule", "constant", "--data", folder)
    run("train", "mlp", *options, "--hidden", 20, "--epochs", 3, "--out", tmp_path / "three")
    run("train", "mlp", *options, "--hidden", 20, "--epochs", 2, "--out", tmp_path / "two")
    run("train", "--resume", tmp_path / "two", "--epochs", 3)
    a, b = (tmp_path / name / "model.safetensors" for name in ("two", "three"))
    assert np.array_equal(load(a).state_dict()["1.weight"], load(b).state_dict()["1.weight"])


def test_the_best_recipe_and_what_changes_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run("train", "lenet5", "--recipe", "best", "--epochs", 1, "--data", folder, "--out", out)
    config, best = read_config(out), BEST["lenet5"]
    assert config["optimizer"]["type"] == "AdamW" and config["max_shift"] == best.max_shift
    assert config["epochs"] == 1 and config["schedule"]["max_lr"] == best.lr
    assert job_of({**config["notes"]["job"], "epochs": best.epochs}).recipe == best
    again = run("train", "--resume", out, "--recipe", "best", "--data", folder, code=2)
    assert "a resumed run keeps its own recipe" in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "rate", "words"),
    [
        (["--batch-size", 16], 0.05 / 8, "the rate is 0.05 for batches of 128, so 0.00625 here"),
        (["--batch-size", 64], 0.05 / 2, "the rate is 0.05 for batches of 128, so 0.025 here"),
        (
            ["--batch-size", 256],
            0.05,
            "of batches of 128: with a higher one, training may fail",
        ),
        (["--batch-size", 32, "--optimizer", "adam"], 0.0015, "0.003 for batches of 128"),
        (["--batch-size", 16, "--lr", 0.05], 0.05, ""),
        (["--batch-size", 128], 0.05, ""),
    ],
)
def test_the_rate_follows_the_batch_size(
    options: list[Any], rate: float, words: str, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    printed = run("train", "mlp", "--data", folder, "--out", out, "--epochs", 1, *options).stdout
    assert read_config(out)["schedule"]["max_lr"] == pytest.approx(rate)
    assert words in printed and ("\nrate " in printed) == bool(words)
    resumed = run("train", "--resume", out, "--epochs", 2).stdout
    assert f"learning rate {rate:g}" in resumed


def test_only_sgd_has_momentum(folder: Path) -> None:
    options = ["--data", folder, "--optimizer", "adam", "--momentum", 0.5]
    assert "only sgd has momentum" in run("train", "softmax", *options, code=2).stderr


def test_no_momentum_means_no_nesterov(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run("train", "softmax", "--data", folder, "--out", out, "--epochs", 1, "--momentum", 0)
    assert read_config(out)["optimizer"]["nesterov"] is False


def test_default_run_folders_are_never_shared(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr("byhand.cli.train.datetime", Clock)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        run("train", "softmax", "--data", folder, "--epochs", 1)
    runs = sorted((tmp_path / "runs").iterdir())
    assert [path.name for path in runs] == ["softmax-20260102-030405", "softmax-20260102-030405-2"]
    assert all((path / "state.safetensors").exists() for path in runs)


def test_a_trained_run_is_not_overwritten(trained: tuple[Path, str], folder: Path) -> None:
    out, _ = trained
    before = {path: path.read_bytes() for path in out.iterdir()}
    result = run("train", "softmax", "--data", folder, "--out", out, code=1)
    assert str(out) in only_line(result)
    assert result.stdout == ""
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_data_that_does_not_fit_leaves_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = (Dataset(data.images[:, :12].copy(), data.labels) for data in SETS)
    write_folder(tmp_path / "data", (train, test))
    monkeypatch.chdir(tmp_path)
    line = only_line(run("train", "lenet5", "--data", "data", code=1))
    assert "lenet5" in line and "12x28" in line
    assert not (tmp_path / "runs").exists()


def test_runs_that_cannot_be_made(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to("nowhere")
    assert "runs" in only_line(run("train", "softmax", "--data", folder, code=1))


def test_damaged_data(folder: Path, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", SETS)
    images = data / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    line = only_line(run("train", "softmax", "--data", data, "--out", tmp_path / "run", code=1))
    assert str(images) in line
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ("--lr", "1e38", "--batch-size", 50, "--out", out, "--data", folder)
    line = only_line(run("train", "mlp", *options, code=1))
    assert "loss is" in line and "epoch 1" in line and "Try a smaller rate, such as " in line
    assert not (out / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["softmax", "--activation", "relu"], "--activation"),
        (["resnet"], "resnet"),
        (["softmax", "--hidden", "20"], "softmax has no hidden layers to choose; only mlp has"),
        (["lenet5", "--hidden", "20"], "lenet5 has no hidden layers to choose; only mlp has"),
        *(
            (["mlp", "--hidden", wrong], f"{wrong!r} is not a list of widths")
            for wrong in ("", "20,", "20,x", "0", "2.5", "-3")
        ),
        (["mlp", "--schedule", "cosine"], "'cosine' is not one of onecycle, constant."),
        (["softmax", "--epochs", "0"], "--epochs"),
        (["softmax", "--threads", "0"], "--threads"),
    ],
)
def test_wrong_usage(arguments: list[str], named: str) -> None:
    assert named in " ".join(run("train", *arguments, code=2).stderr.split())


def test_shifts_that_leave_nothing_of_an_image(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the trainer refuses a setting, the command reports a usage error."""
    monkeypatch.chdir(tmp_path)
    said = run("train", "softmax", "--data", folder, "--max-shift", 28, code=2).stderr
    assert "max_shift must be less than the images' 28 pixels, not 28" in said
    assert not list(tmp_path.glob("runs/*"))


def test_a_fault_of_byhand_keeps_its_traceback(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr("byhand.training.Trainer._end_epoch", fail)
    arguments = ["train", "softmax", "--data", str(folder), "--out", str(tmp_path / "run")]
    with pytest.raises(ValueError, match="a fault"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    "options",
    [
        *(f"{name} {x}" for name in ("--lr", "--momentum", "--weight-decay") for x in (-1, "inf")),
        *(f"--ema {x}" for x in (-1, 1, 2, "nan")),
        *(f"--label-smoothing {x}" for x in (-1, 2)),
        *(f"--max-shift {x}" for x in (-1, 28)),
        "--nesterov --momentum 0",
    ],
)
def test_a_setting_out_of_range(options: str, folder: Path, tmp_path: Path) -> None:
    """The error names the option and the value."""
    option, *_, value = options.split()
    where = ("--data", folder, "--out", tmp_path / "run")
    said = run("train", "softmax", *options.split(), *where, code=2).stderr
    assert re.search(rf"Invalid value for '?{option}'?: ", said) and value in said
    assert not (tmp_path / "run").exists()


def test_weights_that_are_not_there(folder: Path) -> None:
    said = only_line(run("train", "softmax", "--data", folder, "--from", "nowhere", code=1))
    assert said.startswith("byhand: --from: nowhere does not exist; name a run folder")
