"""`byhand train` with held-out images, with class names, and from a trained model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pictures
import pytest
import typer
from byhand.cli.job import class_names_of, job_of
from byhand.data import DataError, load_folder
from byhand.models import Model, load
from byhand.training.recipes import ADAM_LR, BEST, RECIPES
from byhand.training.run_folder import RunFolder
from cli_support import make_sets, only_line, read_config, read_metrics, run, write_folder
from typer.testing import CliRunner

pytestmark = pytest.mark.slow

SETS = make_sets(train=300, test=100)
NAMES = "zero,one,two,three,four,five,six,seven,eight,nine"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), SETS)


@pytest.fixture(scope="module")
def held(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run with held-out images, and what it printed.

    The learning rate is so high that the last epoch is not the best.
    """
    out = tmp_path_factory.mktemp("runs") / "held"
    options = ("--epochs", 6, "--validation", 0.2, "--lr", 3, "--momentum", 0)
    return out, run("train", "mlp", "--data", folder, "--out", out, *options).stdout


def test_the_best_epoch_by_held_out_images_counts(held: tuple[Path, str], folder: Path) -> None:
    out, printed = held
    train, test = load_folder(folder)
    kept, validation = train.hold_out(0.2)
    config, metrics = read_config(out), read_metrics(out)
    assert (config["images"], config["validation_images"]) == (len(kept), len(validation))
    counts = f"{len(kept)} training, {len(validation)} validation and 100 test images"
    assert counts in printed and "val accuracy" in printed and "test loss" not in printed
    best = min(metrics, key=lambda m: m["validation_loss"])
    assert best is not metrics[-1], "the case is not the one that it should be"
    chosen = f"epoch {best['epoch']} of 6, the one with the lowest loss on the "
    chosen += f"{len(validation)} images held out for validation"
    assert f"The model of this run is {chosen}." in printed
    model = load(out / "best.safetensors")
    checked = byhand.evaluate(model, validation)
    assert checked.loss == pytest.approx(best["validation_loss"])
    accuracy = byhand.evaluate(model, test).accuracy
    said = f"Test accuracy of epoch {best['epoch']}: {100 * accuracy:.2f} %, measured once."
    assert said in printed
    evaluated = run("evaluate", out).stdout
    assert evaluated.startswith(f"{chosen}\ntest loss") and f"{100 * accuracy:.2f} %" in evaluated
    last = run("evaluate", out, "--epoch", "last").stdout
    assert last.startswith("epoch 6 of 6, the last one\n") and last != evaluated


def test_the_benchmark_of_pictures_takes_the_epoch_that_counts(
    held: tuple[Path, str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def measured(model: Model, *_: object) -> Iterator[tuple[str, pictures.Found]]:
        taken.append(model)
        yield "plain", pictures.Found(1.0, 0.0, [])

    monkeypatch.setattr(pictures, "measured", measured)
    read = [str(held[0]), "--data", str(folder)]
    assert CliRunner().invoke(pictures.app, read).exit_code == 0
    assert taken[0].trained == byhand.load(held[0]).trained != byhand.load(held[0], "last").trained
    refused = CliRunner().invoke(pictures.app, [str(tmp_path), "--data", str(folder)])
    assert f"{tmp_path} holds no model.safetensors" in str(refused.exception)


def test_a_run_with_held_out_images_goes_on(held: tuple[Path, str], folder: Path) -> None:
    """A run resumes with the same held-out part of the images. Another part is refused."""
    out, _ = held
    assert "after epoch 6" in run("train", "--resume", out).stdout
    said = run("train", "--resume", out, "--validation", 0.1, code=1).stderr
    assert "\n  the number of validation images was " in said


@pytest.mark.parametrize("part", ["0", "1", "-0.1", "1.5", "nan"])
def test_parts_that_cannot_be_held_out(
    part: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run("train", "softmax", "--data", folder, "--validation", part, code=2).stderr
    assert "--validation" in said and part in said
    assert not list(tmp_path.glob("runs/*"))


def test_class_names(folder: Path, tmp_path: Path) -> None:
    """Names come from the option or from a file.

    The model, the commands' answers and a resumed run have them.
    """
    file = tmp_path / "names.txt"
    file.write_text(NAMES.replace(",", "\n") + "\n")
    for number, names in enumerate((NAMES, file)):
        out = tmp_path / str(number)
        options = ("--data", folder, "--epochs", 1, "--class-names", names, "--out", out)
        run("train", "softmax", *options)
        assert load(out / "model.safetensors").class_names == tuple(NAMES.split(","))
        assert "predicted  " in run("predict", out, "--test-image", 3).stdout
        assert " three " in run("evaluate", out).stdout
        run("train", "--resume", out, "--epochs", 2)
        assert load(out / "model.safetensors").class_names == tuple(NAMES.split(","))
    said = only_line(run("train", "softmax", "--data", folder, "--class-names", "a,b", code=1))
    assert "class names (a, b, ...) are too few" in said


def test_class_folders_have_their_own_names(folder: Path, tmp_path: Path) -> None:
    run("data", "to-png", tmp_path / "png", "--data", folder)
    options = ("--data", tmp_path / "png", "--class-names", NAMES)
    said = " ".join(run("train", "mlp", *options, code=2).stderr.split())
    assert "--class-names" in said and "holds class folders" in said


def weights(path: Path) -> dict[str, Any]:
    return load(path).state_dict()


def test_from_a_trained_model(held: tuple[Path, str], folder: Path, tmp_path: Path) -> None:
    """With learning rate 0 the weights stay those that training starts from.

    These are the weights of the epoch that counts.
    """
    base, still = held[0], ("--data", folder, "--epochs", 1, "--lr", 0)
    chosen = RunFolder(base).choose()
    for source, which in ((base, f"{base}, {chosen.description}"), (chosen.path, str(chosen.path))):
        out = tmp_path / f"from-{source.name}"
        printed = run("train", "mlp", *still, "--from", source, "--out", out).stdout
        assert f"from     all weights; {which}\n" in printed
        expected, got = weights(chosen.path), weights(out / "model.safetensors")
        assert all(np.array_equal(expected[name], got[name]) for name in expected)
    resumed = run("train", "--resume", out, "--epochs", 2).stdout
    assert "from " not in resumed.split("epoch  train")[0]


def test_from_a_model_of_other_classes(
    held: tuple[Path, str], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    options = ("--data", folder, "--epochs", 1, "--lr", 0, "--class-names", NAMES, "--seed", 4)
    printed = run("train", "mlp", *options, "--from", held[0], "--out", out).stdout
    assert "from     all weights but the last layer's: the classes differ" in printed
    base, got = weights(held[0] / "best.safetensors"), weights(out / "model.safetensors")
    fresh = byhand.models.mlp(seed=4).state_dict()
    for name in base:
        assert np.array_equal(got[name], (fresh if name.startswith("5.") else base)[name])


def test_from_another_network(held: tuple[Path, str], folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ("--data", folder, "--from", held[0], "--out", out)
    said = only_line(run("train", "softmax", *options, code=1))
    assert f"--from: {held[0]} is another network than softmax" in said and not out.exists()
    for option, value in (("--from", held[0]), ("--init", "zeros")):  # a run has weights already
        assert option in run("train", "--resume", held[0], option, value, code=2).stderr
    nothing = ("train", "mlp", "--data", folder, "--from", tmp_path / "no")
    assert str(tmp_path / "no") in only_line(run(*nothing, code=1))


@pytest.mark.parametrize(
    ("recipe", "method", "rate", "decay"),
    [
        ("best", "sgd", RECIPES["lenet5"].lr, RECIPES["lenet5"].weight_decay),
        ("best", "adam", ADAM_LR, RECIPES["lenet5"].weight_decay),
        ("best", "adamw", BEST["lenet5"].lr, BEST["lenet5"].weight_decay),
        ("default", "adam", ADAM_LR, RECIPES["lenet5"].weight_decay),
    ],
)
def test_another_optimizer_brings_its_rate(
    recipe: str, method: str, rate: float, decay: float
) -> None:
    """Another optimizer uses its own default rate and weight decay.

    With AdamW's rate of 0.003 and weight decay of 0.05, SGD would not learn.
    """
    settings = {"model": "lenet5", "recipe": recipe, "method": method}
    made = job_of(settings).recipe
    assert (made.method, made.lr, made.weight_decay) == (method, rate, decay)
    said = job_of({**settings, "lr": 0.02, "weight_decay": 0.01}).recipe
    assert (said.lr, said.weight_decay) == (0.02, 0.01)


def test_class_names_of_any_length_in_files_of_any_content(tmp_path: Path) -> None:
    names = [f"the class with the number {i}" for i in range(40)]
    assert class_names_of(",".join(names)) == names
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeffcat\n\n dog \n".encode())
    assert class_names_of(str(file)) == ["cat", "dog"]
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="must be a UTF-8 text file of class names"):
        class_names_of(str(file))
    for nothing in ("", ",", " , "):
        with pytest.raises(typer.BadParameter, match="has no names"):
            class_names_of(nothing)
