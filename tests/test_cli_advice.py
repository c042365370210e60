"""Errors of the command line say what to do next."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from byhand import cli
from cli_support import make_sets, only_line, run, write_folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set in data and a run of one epoch in runs/one."""
    root = tmp_path_factory.mktemp("advice")
    data = write_folder(root / "data", make_sets(train=60, test=20))
    run("train", "softmax", "--data", data, "--epochs", 1, "--out", root / "runs" / "one")
    return root


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the folder `trained`, as the working folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


MODEL_COMMANDS = ["evaluate", "predict", "info", "demo", "plot", "export"]


@pytest.mark.parametrize("command", MODEL_COMMANDS)
def test_what_to_name_as_a_model(command: str, here: Path) -> None:
    more = {"predict": ["x.png"], "export": ["x.onnx"]}.get(command, [])
    said = only_line(run(command, "nosuch", *more, code=1))
    other = "" if command == "plot" else ", or a model file"
    advice = f"name a run folder, such as runs/one{other}\n"
    assert said == f"byhand: nosuch does not exist; {advice}"
    for name in ("data", "data/train-images-idx3-ubyte"):  # a folder and a file of another kind
        assert only_line(run(command, name, *more, code=1)).endswith(advice)
    shutil.rmtree(here / "runs")
    said = only_line(run(command, "nosuch", *more, code=1))
    assert said.endswith("; byhand train lenet5 makes a run folder\n")


@pytest.mark.parametrize("command", MODEL_COMMANDS)
def test_a_run_without_epochs(command: str, here: Path) -> None:
    (here / "begun").mkdir()
    shutil.copy("runs/one/config.json", "begun")
    more = {"predict": ["x.png"], "export": ["x.onnx"]}.get(command, [])
    said = only_line(run(command, "begun", *more, code=1))
    assert said.endswith("; to continue it: byhand train --resume begun\n")


@pytest.mark.parametrize("file", ["config.json", "metrics.jsonl", "state.safetensors"])
def test_a_damaged_run_is_not_resumed(file: str, here: Path) -> None:
    (here / "runs" / "one" / file).write_text("{")
    said = only_line(run("train", "--resume", "runs/one", "--epochs", 2, code=1))
    assert file in said and "put a copy of the file back, or train a new run with --from" in said
    # The advice works.
    start = "runs/one/model.safetensors"
    words = ("train", "softmax", "--data", "data", "--epochs", 1, "--out", "new", "--from", start)
    assert "all weights" in run(*words).stdout


def test_the_data_are_damaged(here: Path) -> None:
    path = here / "data" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:100])
    said = only_line(run("train", "softmax", "--data", "data", code=1))
    assert "get the file again or" in said and "byhand data fetch --data data" in said


def test_a_folder_to_write_into_does_not_exist(here: Path) -> None:
    said = only_line(run("plot", "runs/one", "--out", "nodir/x.png", code=1))
    assert said.endswith("could not write: the folder nodir does not exist; create it first\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("train", 2, "name a network (softmax, mlp or lenet5), or a run with --resume RUN"),
        ("train softmax --resume nosuch", 1, "nosuch does not exist; name a run folder, such as"),
        ("train mlp --resume runs/one", 1, "is a run of softmax, not of mlp: leave mlp out"),
        ("train mlp --data data --from runs/one", 1, "byhand info runs/one shows which network"),
        ("train mlp --data data --class-names a.txt", 2, "a.txt does not exist: name a text file"),
        ("evaluate runs/one --epoch 7", 1, "train with --keep-epochs"),
        (
            "evaluate runs/one/model.safetensors --epoch 1",
            2,
            "name its run folder, or leave --epoch",
        ),
        ("predict runs/one", 2, "byhand data draw-examples DIR draws ten"),
        ("data describe data", 2, "'data' is a folder. It must be a file."),
        ("bench kernels --peers nosuch", 2, "'nosuch' is not one of"),
    ],
)
def test_the_next_step(
    words: str, code: int, said: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert said in run(*words.split(), code=code).stderr


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.streams, "prepare", lambda: None)
    monkeypatch.setattr(cli, "is_installed", lambda name: name not in ("rich", "matplotlib"))
    with pytest.raises(SystemExit, match=r"that are not installed: rich, matplotlib\. Install"):
        cli.main()
