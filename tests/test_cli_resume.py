"""The options of `byhand train` for run folders: --resume, --keep-epochs, --log-every; `plot`."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import byhand
import devices
import numpy as np
import pytest
from byhand import kernels
from byhand.models import load
from byhand.optim.schedules import OneCycle
from byhand.training import BatchEnd, Trainer, handlers
from byhand.training.run_folder import RunFolder
from cli_support import make_sets, only_line, read_config, read_metrics, run, write_folder
from PIL import Image

SETS = make_sets(train=300, test=100)
OPTIONS = ("--epochs", 3, "--lr", 0.02, "--seed", 5, "--ema", 0.9, "--label-smoothing", 0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), SETS)


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that uses every kind of setting and was never interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    run("train", "mlp", "--data", folder, "--out", out, "--activation", "tanh", *OPTIONS)
    return out


@pytest.fixture
def half(whole: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same run, interrupted in its second epoch."""

    def interrupt(self: Trainer, event: Any) -> None:
        if isinstance(event, BatchEnd) and event.epoch == 2:
            raise KeyboardInterrupt
        tell(self, event)

    out, tell = tmp_path / "half", Trainer.tell
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "tell", interrupt)
        arguments = ("--data", folder, "--out", out, "--activation", "tanh", *OPTIONS)
        stderr = run("train", "mlp", *arguments, code=130).stderr
    assert f"byhand train --resume {out}" in stderr
    return out


def test_resume(half: Path, whole: Path, folder: Path) -> None:
    printed = run("train", "--resume", half, curves=True).stdout
    assert "resumed  after epoch 1" in printed and "mlp, tanh" in printed
    assert re.findall(r"^ +(\d) ", printed, re.M) == ["2", "3"]
    assert "Test accuracy after epoch 3" in printed
    for name in ("model", "best", "state"):
        a, b = (run_ / f"{name}.safetensors" for run_ in (half, whole))
        assert a.read_bytes() == b.read_bytes()
    assert (half / "curves.png").exists()
    assert [m["loss"] for m in read_metrics(half)] == [m["loss"] for m in read_metrics(whole)]
    assert read_config(half)["notes"]["job"]["data"] == str(folder)
    printed = run("train", "--resume", half).stdout  # all epochs are done already
    assert not re.findall(r"^ +(\d) ", printed, re.M) and "after epoch 3" in printed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lr", 0.03], ["the peak learning rate was 0.02 and is 0.03"]),
        (["--lr", 0.03, "--epochs", 4], ["the peak learning rate was 0.02 and is 0.03"]),
        (["--seed", 6], ["the seed was 5 and is 6"]),
        (["--ema", 0.8], ["the decay of the average of the weights (ema) was 0.9 and is 0.8"]),
        (
            ["--class-names", "a,b,c,d,e,f,g,h,i,j"],
            [
                "the list of class names was 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and is "
                "a, b, c, d, e, f, g, h, i, j"
            ],
        ),
        (
            ["--no-nesterov"],
            ["the use of Nesterov's momentum (nesterov) was true and is false"],
        ),
        (
            ["--schedule", "constant"],
            [
                "the schedule of the learning rate was OneCycle(max_lr=0.02, total_steps=9, "
                "pct_start=0.3, div_factor=25.0, final_div_factor=10000.0) and is Constant(lr=0.02)"
            ],
        ),
        (["--label-smoothing", 0.2], ["the label smoothing was 0.1 and is 0.2"]),
        (
            ["--activation", "relu", "--seed", 6],
            [
                "model.layers.2 was Tanh() and is ReLU()",
                "model.layers.4 was Tanh() and is ReLU()",
                "the seed was 5 and is 6",
            ],
        ),
    ],
)
def test_resume_with_other_settings(options: list[Any], words: list[str], whole: Path) -> None:
    """The error has one line in words for each difference."""
    before = {path: path.read_bytes() for path in whole.iterdir()}
    said = run("train", *options, "--resume", whole, code=1).stderr.splitlines()
    assert said[0].startswith(f"byhand: {whole} cannot go on with other data or settings")
    assert said[1:-1] == [f"  {line}" for line in words]
    assert said[-1] == "Leave these as they were, or train into another folder."
    assert {path: path.read_bytes() for path in whole.iterdir()} == before


def test_resume_with_another_model(whole: Path) -> None:
    line = only_line(run("train", "softmax", "--resume", whole, code=1))
    assert "is a run of mlp, not of softmax" in line


@pytest.mark.slow
def test_resume_to_more_epochs(whole: Path, folder: Path, tmp_path: Path) -> None:
    """The learning rate follows a longer cycle, and the output says so."""
    longer = tmp_path / "longer"
    shutil.copytree(whole, longer)
    printed = run("train", "--resume", longer, "--epochs", 5).stdout
    rate = OneCycle(0.02, 15)(9)
    assert (
        "resumed  after epoch 3; the run now has 5 epochs instead of 3. The cycle of the learning "
        f"rate spans all 5, so the rate continues at {rate:.3g}\n" in printed
    )
    assert re.findall(r"^ +(\d) ", printed, re.M) == ["4", "5"]
    metrics = read_metrics(longer)
    assert [(m["epoch"], m["epochs"]) for m in metrics] == [(1, 3), (2, 3), (3, 3), (4, 5), (5, 5)]
    config = read_config(longer)
    assert config["epochs"] == config["notes"]["job"]["epochs"] == 5
    assert config["schedule"]["total_steps"] == 15
    again = run("train", "--resume", longer).stdout  # the run has stored 5 as its number of epochs
    assert not re.findall(r"^ +(\d) ", again, re.M) and "after epoch 5" in again
    assert "epochs must be at least 5" in only_line(
        run("train", "--resume", longer, "--epochs", 4, code=1)
    )


def test_resume_with_other_data(whole: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "data", make_sets(train=300, test=101))
    said = run("train", "--resume", whole, "--data", other, code=1).stderr
    assert "\n  the number of validation images was 100 and is 101\n" in said
    assert "\n  the checksum of the training data was " in said


def test_resume_what_is_no_run(whole: Path, tmp_path: Path) -> None:
    reasons = {"no": "does not exist", "": "holds no config.json: it is not a run folder"}
    for name, reason in reasons.items():
        said = only_line(run("train", "--resume", tmp_path / name, code=1))
        assert said.startswith(f"byhand: {tmp_path / name} {reason}; name a run folder")
    config = read_config(whole)
    del config["notes"]["job"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    said = only_line(run("train", "--resume", tmp_path, code=1))
    assert f"{tmp_path}/config.json does not have the settings of a `byhand train`" in said
    both = ("train", "--resume", whole, "--out", tmp_path)
    assert "--out" in run(*both, code=2).stderr
    assert "MODEL" in run("train", code=2).stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("lr", "x", "lr must be a number, not 'x'"),
        ("batch_size", 0, "batch_size must be at least 1, not 0"),
        ("seed", "x", "seed must be an integer, not 'x'"),
        ("seed", 6, "notes.job.seed is 6, but seed is 5"),
        ("max_shift", 99, "notes.job.max_shift is 99, but max_shift is 0"),
        ("augment", True, "augment must be a table of strengths, not True"),
        ("augment", {"shear": 99}, "augment: shear must be from 0 to 80 degrees, got 99"),
        ("augment", {"shear": 9}, "notes.job.augment is {'shear': 9}, but augment is None"),
        ("model", "foo", "model: 'foo' is not one of softmax, mlp, lenet5."),
        ("model", None, "notes.job names no model"),
        ("method", "x", "method: 'x' is not one of sgd, adam, adamw."),
        ("schedule_name", "x", "schedule_name: 'x' is not one of onecycle, constant."),
        ("hidden", 20, "hidden must be a list of whole numbers, not 20"),
        ("hidden", [20, 0], "hidden must be at least 1, not 0"),
        ("init", "x", "init: 'x' is not one of uniform"),
        ("activation", "x", "'x' is not a valid Activation"),
        ("validation", "x", "validation must be a number, not 'x'"),
        ("validation", 7, "validation must be between 0 and 1, not 7"),
        ("ema", "x", "ema must be a number, not 'x'"),
        ("label_smoothing", 2, "label_smoothing must be from 0 to 1, not 2"),
        ("class_names", "abc", "class_names must be a list of strings, not 'abc'"),
        ("start", 3, "start must be a string, not 3"),
    ],
)
def test_resume_with_settings_that_were_edited(
    name: str, value: object, said: str, whole: Path, tmp_path: Path
) -> None:
    """The error blames the file, not an option that the user did not give."""
    config = read_config(whole)
    config["notes"]["job"][name] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    line = only_line(run("train", "--resume", tmp_path, code=1))
    assert f"{tmp_path}/config.json does not have the settings of a `byhand train`: {said}" in line


def test_resume_without_the_data(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """byhand does not use other data instead, such as the data of BYHAND_DATA."""
    monkeypatch.setenv("BYHAND_DATA", str(write_folder(tmp_path / "other", SETS)))
    config = read_config(whole)
    config["data"]["folder"] = gone = str(tmp_path / "gone")
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    line = only_line(run("train", "--resume", tmp_path / "run", code=1))
    assert line == (
        f"byhand: {tmp_path}/run was trained on the data in {gone}, which holds no data now: name "
        "the folder of the same data with --data\n"
    )
    run("train", "--resume", tmp_path / "run", "--data", tmp_path / "other")


def test_every_epoch_is_kept(folder: Path, tmp_path: Path) -> None:
    arguments = ("--data", folder, "--out", tmp_path / "run", "--epochs", 2)
    run("train", "softmax", *arguments, "--keep-epochs")
    epochs = tmp_path / "run" / "epochs"
    assert sorted(path.name for path in epochs.iterdir()) == [
        "00001.safetensors",
        "00002.safetensors",
    ]
    last = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert (epochs / "00002.safetensors").read_bytes() == last
    assert load(epochs / "00001.safetensors").state_dict().keys()
    assert (epochs / "00001.safetensors").read_bytes() != last


def test_log_every(folder: Path, tmp_path: Path) -> None:
    """Each epoch has three batches. The numbers are the same as in the log that LogFile writes."""
    log = handlers.LogFile(tmp_path / "log.jsonl", every=2)
    fit = Trainer.tell

    def tell(self: Trainer, event: Any) -> None:
        fit(self, event)
        log(event)

    arguments = ("--data", folder, "--out", tmp_path / "run", "--epochs", 2, "--log-every", 2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "tell", tell)
        printed = run("train", "softmax", *arguments).stdout
    rows = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [line for line in printed.splitlines() if line.startswith("Pass")] == [
        f"Pass {row['epoch']:05}, Batch 2: average cost {row['average_loss']:.6f}, "
        f"current cost {row['loss']:.6f}, "
        f"classification error {100 * row['average_error']:.2f} %"
        for row in rows
        if row["event"] == "batch"
    ]
    assert [row["event"] for row in rows] == ["batch", "epoch"] * 2


# --------------------------------------------------------------------------------------------------
# Plot


@pytest.mark.slow
def test_plot(whole: Path, half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "curves.png"
    printed = run("plot", whole, half, "--out", out).stdout
    assert printed == f"2 runs: {out}\n"
    with Image.open(out, formats=["PNG"]) as picture:
        picture.load()
        assert picture.size == (1800, 950)
    seen: list[Any] = []
    monkeypatch.setattr(
        "byhand.plots.curves.curves_bytes", lambda runs, **_: seen.append(runs) or b""
    )
    monkeypatch.chdir(whole)
    run("plot", ".", half, "--out", out)
    named = {name: [asdict(end) for end in history] for name, history in seen[0].items()}
    assert named == {"whole": read_metrics(whole), "half": read_metrics(half)}
    twin = tmp_path / "other" / "whole"
    twin.mkdir(parents=True)
    RunFolder(twin).metrics_path.write_bytes(RunFolder(half).metrics_path.read_bytes())
    run("plot", whole, twin, "--out", out)
    assert list(seen[1]) == [f"{whole.parent.name}/whole", "other/whole"]


def test_what_cannot_be_plotted(whole: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    said = only_line(run("plot", whole, empty, code=1))
    assert f"{empty} holds no metrics.jsonl: it is not a run folder" in said
    (empty / "config.json").write_text("{}")
    assert "no epoch of the run was finished" in only_line(run("evaluate", empty, code=1))
    assert str(tmp_path / "no") in only_line(run("plot", tmp_path / "no", code=1))
    (empty / "metrics.jsonl").write_text('{"epoch": 1}\n')
    assert "does not list epochs" in only_line(run("plot", empty, code=1))
    assert "--out" in run("plot", whole, "--out", "curves.txt", code=2).stderr
    assert "twice" in run("plot", whole, whole, code=2).stderr


@pytest.mark.slow
def test_a_run_stays_on_its_device_unless_told_otherwise(tmp_path: Path) -> None:
    devices.cuda_module()
    (tmp_path / "data").mkdir()
    data = write_folder(tmp_path / "data", make_sets(train=20, test=10))
    out = tmp_path / "run"
    options = ("--data", data, "--out", out, "--batch-size", 20, "--epochs", 1)
    printed = run("train", "softmax", *options, "--device", "cuda").stdout
    assert re.search(r"^device +cuda$", printed, re.M)
    again = run("train", "--resume", out, "--epochs", 2)
    assert re.search(r"^device +cuda$", again.stdout, re.M)
    assert "last ran" not in again.stderr
    moved = run("train", "--resume", out, "--epochs", 3, "--device", "cpu")
    assert "the run last ran on cuda and continues on cpu" in moved.stderr
    assert not re.search(r"^device", moved.stdout, re.M)
    back = run("train", "--resume", out, "--epochs", 4, "--device", "cuda")
    assert "the run last ran on cpu and continues on cuda" in back.stderr
    assert [m["epoch"] for m in read_metrics(out)] == [1, 2, 3, 4]


def test_a_device_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends with one line, before it reads the data."""
    monkeypatch.setattr("byhand.cuda.why_not", lambda: "no NVIDIA GPU was found")
    expected = 'byhand: device "cuda" cannot be used: no NVIDIA GPU was found'
    options = ("--data", tmp_path / "missing", "--out", tmp_path / "run", "--device", "cuda")
    line = only_line(run("train", "softmax", *options, code=1))
    assert line == f"{expected}\n"
    assert not (tmp_path / "run").exists()
    (tmp_path / "data").mkdir()
    data = write_folder(tmp_path / "data", make_sets(train=20, test=10))
    out = tmp_path / "begun"
    run("train", "softmax", "--data", data, "--out", out, "--epochs", 1)
    config = read_config(out)
    (out / "config.json").write_text(json.dumps({**config, "device": "cuda"}))
    line = only_line(run("train", "--resume", out, "--epochs", 2, code=1))
    assert line == f"{expected}; pass --device cpu to continue the run on the CPU\n"


@pytest.mark.slow
def test_a_gpu_that_fails_ends_the_command_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not devices.cuda_module().is_emulated:
        pytest.skip("only the emulator can lose its GPU")
    (tmp_path / "data").mkdir()
    data = write_folder(tmp_path / "data", make_sets(train=20, test=10))
    out = tmp_path / "run"

    def lose_the_gpu(self: RunFolder, *args: Any, **kwargs: Any) -> None:
        write_epoch(self, *args, **kwargs)
        monkeypatch.setenv("SIMT_DEVICES", "0")

    write_epoch = RunFolder.write_epoch
    monkeypatch.setattr(RunFolder, "write_epoch", lose_the_gpu)
    options = ("--data", data, "--out", out, "--batch-size", 20, "--epochs", 3)
    line = only_line(run("train", "softmax", *options, "--device", "cuda", code=1))
    assert "no CUDA-capable device is detected" in line
    assert f"{out} keeps epoch 1" in line
    monkeypatch.delenv("SIMT_DEVICES")
    one = byhand.asarray(np.ones(1, np.float32), "cuda")
    assert kernels.relu(one).item() == 1  # the next call does not report the same error again
