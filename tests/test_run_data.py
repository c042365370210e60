"""A command that takes a run uses the data of the run, or says that it does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import byhand
import numpy as np
import pytest
from byhand import data, models, optim
from byhand.data import Dataset, official
from byhand.data.official import source_of
from byhand.nn.losses import MSELoss
from cli_support import make_sets, only_line, read_config, run, write_folder

SETS = make_sets(train=60, test=20)
OTHERS = tuple(Dataset(255 - part.images, part.labels) for part in SETS)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The data of the run, and other data in $BYHAND_DATA that claim to be MNIST."""
    own, default = write_folder(tmp_path / "own", SETS), write_folder(tmp_path / "default", OTHERS)
    monkeypatch.setenv("BYHAND_DATA", str(default))
    checksum = source_of(default, *OTHERS).checksum
    monkeypatch.setattr(official, "CHECKSUM", checksum)
    return own, default


def fit(out: Path, train: object, **options: object) -> Path:
    model = models.softmax_regression(seed=0)
    trainer = byhand.Trainer(model, optim.SGD(model.parameters(), 0.01), run=out)
    trainer.fit(train, epochs=1, **options)  # type: ignore[arg-type]
    return out


def commands(path: Path) -> list[tuple[object, ...]]:
    return [("evaluate", path), ("predict", path, "--test-image", 3)]


@pytest.mark.slow
def test_a_run_from_byhand_data_finds_it_again(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, default = folders
    monkeypatch.setenv("BYHAND_DATA", str(own))
    out = tmp_path / "run"
    run("train", "softmax", "--epochs", 1, "--out", out)
    recorded = read_config(out)["data"]
    assert recorded == {
        "folder": str(own),
        "name": "",
        "checksum": source_of(own, *SETS).checksum,
    }
    monkeypatch.setenv("BYHAND_DATA", str(default))
    for command in commands(out):
        result = run(*command)
        assert result.stderr == ""
        assert result.stdout == run(*command, "--data", own).stdout
    assert f"\ndata {own}\n" in run("evaluate", out).stdout
    for model in ("model.safetensors", "best.safetensors"):
        if (out / model).exists():
            assert f"\ndata {own}\n" in run("evaluate", out / model).stdout
    again = run("train", "--resume", out, "--epochs", 2)
    assert str(own) in again.stdout


def test_other_data_are_said(folders: tuple[Path, Path], tmp_path: Path) -> None:
    own, default = folders
    out = fit(tmp_path / "run", data.mnist(own)[0])
    for command in commands(out):
        line = only_line(run(*command, "--data", default))
        assert f"the data in MNIST, {default} are not those of {out}" in line
    images = own / "train-images-idx3-ubyte"
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    for command in commands(out):
        line = only_line(run(*command))
        assert f"the data in {own} are not those of {out}" in line


@pytest.mark.parametrize("part", ["a split", "held out", "all"])
def test_a_run_from_python_on_a_data_set(
    part: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    own, _ = folders
    train, _ = data.load_folder(own)
    some = {"a split": train.split(50), "held out": train.hold_out(0.1), "all": (train, train)}
    out = fit(tmp_path / "run", some[part][0], validation=some[part][1])
    for command in commands(out):
        result = run(*command)
        assert result.stderr == ""
        assert result.stdout == run(*command, "--data", own).stdout


@pytest.mark.parametrize("loss", [None, MSELoss()])
def test_a_run_from_python_on_arrays(
    loss: MSELoss | None, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """Arrays have no folder. The default data are used only if they are the same."""
    own, default = folders

    def trained(name: str, part: Dataset) -> Path:
        model = models.softmax_regression(seed=0)
        optimizer = optim.SGD(model.parameters(), 0.01)
        trainer = byhand.Trainer(model, optimizer, loss=loss, run=tmp_path / name)
        trainer.fit((part.images, part.labels), epochs=1)
        return tmp_path / name

    for command in commands(trained("same", OTHERS[0])):
        result = run(*command)
        assert result.stderr == ""
        assert result.stdout == run(*command, "--data", default).stdout
    clothes = trained("clothes", SETS[0])
    for command in commands(clothes):
        line = only_line(run(*command, code=1))
        assert f"{clothes} was trained on data from arrays in Python" in line
        assert (
            f", and the data in MNIST, {default} are different: name the right folder with" in line
        )
        assert run(*command, "--data", own).stderr == ""


@pytest.mark.parametrize("part", ["training", "test"])
def test_one_of_two_arrays_differs(part: str, folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, default = folders
    sets = [(data.images, data.labels) for data in OTHERS]
    out = fit(tmp_path / "run", sets[0], validation=sets[1])
    assert run("evaluate", out).stderr == ""
    images = default / f"{'train' if part == 'training' else 't10k'}-images-idx3-ubyte"
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    for options in ([], ["--data", default]):
        line = only_line(run("evaluate", out, *options))
        assert f"the {part} images in {default} are not those of {out}: their checksum" in line


def test_data_that_were_moved(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, _ = folders
    out = fit(tmp_path / "run", data.load_folder(own)[0])
    moved = tmp_path / "moved"
    shutil.move(own, moved)
    line = only_line(run("evaluate", out, code=1))
    assert f"trained on data from {own}, which holds no data now" in line
    monkeypatch.setenv("BYHAND_DATA", str(moved))  # the same data in another folder
    result = run("evaluate", out)
    assert result.stderr == "" and f"\ndata {moved}\n" in result.stdout


def test_a_model_of_other_classes_is_not_tested_on_mnist(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """Fashion-MNIST also has ten classes and 28x28 pixels."""
    model = models.softmax_regression(seed=0)
    model.class_names = tuple("abcdefghij")
    model.save(tmp_path / "clothes.safetensors")
    for command in commands(tmp_path / "clothes.safetensors"):
        line = only_line(run(*command, code=1))
        assert (
            "the classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, but those of the model are a, b, c"
            in line
        )
        assert run(*command, "--data", folders[0]).exit_code == 0


@pytest.mark.slow
def test_class_folders_are_the_same_in_every_shape(tmp_path: Path) -> None:
    """The checksum is that of the files, so the way of preparation does not change it."""
    run("data", "to-png", tmp_path / "png", "--data", write_folder(tmp_path / "own", SETS))
    model = models.softmax_regression(input_shape=(1, 20, 20), seed=0)
    train, _ = data.load_class_folders(tmp_path / "png", (1, 20, 20))
    trainer = byhand.Trainer(model, optim.SGD(model.parameters(), 0.01), run=tmp_path / "run")
    trainer.fit(train, epochs=1)
    for way in ("plain", "digits"):
        assert run("evaluate", tmp_path / "run", "--pictures", way).stderr == ""
    picture = next((tmp_path / "png").rglob("*.png"))
    picture.write_bytes(next((tmp_path / "png").rglob("*9.png")).read_bytes())
    assert "checksum differs" in only_line(run("evaluate", tmp_path / "run"))


@pytest.mark.slow
def test_the_output_names_the_data_set(folders: tuple[Path, Path], tmp_path: Path) -> None:
    own, default = folders
    assert f"MNIST, {default}\n" in run("info").stdout
    for folder, name in ((own, str(own)), (default, f"MNIST, {default}")):
        out = tmp_path / f"run-{folder.name}"
        printed = run("train", "softmax", "--data", folder, "--out", out, "--epochs", 1).stdout
        assert f" test images, {name}\n" in printed
        assert f"\ndata {name}\n" in run("evaluate", out).stdout


def test_resume_on_moved_data_compares_the_arrays(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """The folder is not a setting of the run, but the data are."""
    own, default = folders
    out = fit(tmp_path / "run", data.load_folder(own)[0])
    copy = tmp_path / "copy"
    shutil.copytree(own, copy)
    model = models.softmax_regression(seed=0)
    trainer = byhand.Trainer(model, optim.SGD(model.parameters(), 0.01), run=out)
    assert len(trainer.fit(data.load_folder(copy)[0], epochs=2, resume=True)) == 2
    assert read_config(out)["data"]["folder"] == str(copy)
    with pytest.raises(ValueError, match=r"data|images|crc32"):
        trainer.fit(data.load_folder(default)[0], epochs=3, resume=True)


def test_a_data_set_of_the_users_own_class(tmp_path: Path) -> None:
    class Own:
        images, labels = np.zeros((4, 28, 28), np.uint8), np.zeros(4, np.uint8)
        source = object()

    assert read_config(fit(tmp_path / "run", Own()))["data"] is None


def test_the_default_data_are_said_if_nothing_says_which_were_used(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    own, default = folders
    out = fit(tmp_path / "run", data.load_folder(own)[0])
    (out / "config.json").unlink()
    alone = tmp_path / "model.safetensors"
    shutil.copy(out / "model.safetensors", alone)
    for path in (out, alone):
        for command in commands(path):
            line = only_line(run(*command))
            assert (
                f"nothing says which data {path} was trained on: MNIST, {default} is used" in line
            )
            assert run(*command, "--data", own).stderr == ""
