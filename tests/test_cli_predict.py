"""`byhand evaluate` and `predict`: their answers, and every file that they refuse."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand.data import Dataset
from byhand.models import Model, load, softmax_regression
from byhand.nn import Flatten, Linear
from byhand.pictures.drawings import drawing
from cli_support import make_sets, only_line, read_metrics, run, write_folder
from PIL import Image

SETS = make_sets(train=300, test=100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), SETS)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder."""
    out = tmp_path_factory.mktemp("runs") / "softmax"
    digits = ("--pictures", "digits")
    run("train", "softmax", "--data", folder, "--out", out, "--epochs", 3, *digits)
    return out


def measured(epoch: dict[str, Any], folder: Path) -> str:
    accuracy = epoch["validation_accuracy"]
    return (
        f"test loss {epoch['validation_loss']:.4f}, accuracy {100 * accuracy:.2f} % "
        f"({round(100 * accuracy)} of 100 images)\ndata {folder}\n\n"
    )


def test_evaluate_says_which_epoch_it_takes(trained: Path, folder: Path) -> None:
    """The test set chooses no epoch, so the last one counts unless the user asks for another."""
    metrics = read_metrics(trained)
    best = min(metrics, key=lambda m: m["validation_loss"])
    lowest = "the one with the lowest loss on the test set"
    last = "epoch 3 of 3, the last one" + f" and {lowest}" * (best is metrics[-1])
    chosen = last if best is metrics[-1] else f"epoch {best['epoch']} of 3, {lowest}"
    for arguments, epoch, words in (
        ([trained], metrics[-1], f"{last}\n"),
        ([trained, "--epoch", "last"], metrics[-1], f"{last}\n"),
        ([trained, "--epoch", "best"], best, f"{chosen}\n"),
        ([trained, "--epoch", 3], metrics[-1], f"{last}\n"),
        ([trained / "model.safetensors"], metrics[-1], ""),
    ):
        printed = run("evaluate", *arguments, "--data", folder).stdout
        assert printed.startswith(words + measured(epoch, folder))
    said = run("predict", trained, "--test-image", 3, "--data", folder).stdout
    assert said.endswith(f"    model  {last}\n")


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_an_epoch_that_a_run_does_not_have(command: str, trained: Path, folder: Path) -> None:
    arguments = [command, trained, "--data", folder, "--epoch"]
    arguments[2:2] = ["--test-image", 3] if command == "predict" else []
    assert "no model of epoch 7, only of" in only_line(run(*arguments, 7, code=1))
    for wrong in ("first", "0", "-1", "1.5"):
        said = " ".join(run(*arguments, wrong, code=2).stderr.split())
        assert "--epoch" in said and wrong in said
    file = trained / "model.safetensors"
    assert "--epoch" in run(command, file, *arguments[2:], "best", code=2).stderr


def table(printed: str) -> tuple[np.ndarray, list[str]]:
    """Return the confusion matrix that was printed, and the accuracies beside it."""
    lines = printed.split("Rows: ")[1].splitlines()[1:]
    assert lines[0].split() == ["actual", *map(str, range(10)), "accuracy"]
    cells = [line.replace(" .", " 0").split() for line in lines[1:11]]
    assert [row[0] for row in cells] == [str(digit) for digit in range(10)]
    return np.array([row[1:11] for row in cells], int), [row[11] for row in cells]


def test_a_run_knows_its_data(
    trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BYHAND_DATA", str(tmp_path / "nothing"))
    assert f"data {folder.resolve()}" in run("evaluate", trained).stdout
    with_data = run("predict", trained, "--test-image", 3, "--data", folder)
    assert run("predict", trained, "--test-image", 3).stdout == with_data.stdout


def test_evaluate_tells_what_is_taken_for_what(folder: Path, tmp_path: Path) -> None:
    """Some labels of two classes are swapped, so even the best epoch has mistakes."""
    train, test = SETS
    labels = test.labels.copy()
    labels[:30] = np.where(labels[:30] == 3, 5, labels[:30])
    data = write_folder(tmp_path / "data", (train, Dataset(test.images, labels)))
    out = tmp_path / "run"
    run("train", "softmax", "--data", data, "--out", out, "--epochs", 3)
    printed = run("evaluate", out, "--data", data, "--worst", tmp_path / "worst.png").stdout
    predicted = load(out / "best.safetensors").predict(test.images)
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (labels, predicted), 1)
    matrix, accuracies = table(printed)
    assert np.array_equal(matrix, expected) and expected[5, 3] > 0
    assert [accuracies[digit] for digit in (3, 5)] == [
        f"{100 * expected[digit, digit] / expected[digit].sum():.2f}" for digit in (3, 5)
    ]
    wrong = 100 - expected.trace()
    assert f"{min(wrong, 25)} of {wrong} mistakes, the worst first: {tmp_path}" in printed
    with Image.open(tmp_path / "worst.png", formats=["PNG"]) as picture:
        picture.load()


def test_the_worst_mistakes(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> None:
    """An untrained model makes many mistakes. The most confident ones come first."""
    monkeypatch.chdir(tmp_path)
    seen: list[Any] = []
    monkeypatch.setattr(
        "byhand.cli.sheets.mistakes_png", lambda *arguments: seen.extend(arguments) or b""
    )
    model = softmax_regression()
    model.save(tmp_path / "model.safetensors")
    run("evaluate", tmp_path / "model.safetensors", "--data", folder, "--worst", "worst.png")
    _, index, titles = seen
    probabilities = model.predict_proba(SETS[1].images)
    found, labels = probabilities.argmax(axis=1), SETS[1].labels
    worst = sorted(np.flatnonzero(found != labels), key=lambda i: -probabilities[i].max())[:25]
    assert list(index) == worst
    share = 100 * probabilities[worst[0]].max()
    assert titles[0] == (
        str(labels[worst[0]]),
        f"read as {found[worst[0]]} ({share:.0f} %)",
    )


def test_no_mistakes(trained: Path, folder: Path, tmp_path: Path) -> None:
    assert read_metrics(trained)[-1]["validation_accuracy"] == 1
    printed = run("evaluate", trained, "--data", folder, "--worst", tmp_path / "a.png").stdout
    assert "0 of 0 mistakes" in printed
    with Image.open(tmp_path / "a.png", formats=["PNG"]) as picture:
        picture.load()


@pytest.fixture
def number(tmp_path: Path) -> Path:
    """A model with one output, which is always 10.6."""
    model = Model(Flatten(), Linear(784, 1, rng=0))
    model[1].weight.data[...] = 0
    model[1].bias.data[...] = 10.6
    model.save(path := tmp_path / "model.safetensors")
    return path


def test_evaluate_a_model_of_one_output(number: Path, folder: Path) -> None:
    """The rows and columns of the table reach from the lowest number to the highest."""
    printed = run("evaluate", number, "--data", folder).stdout
    labels = SETS[1].labels.astype(float)
    assert f"test loss {np.mean((labels - 10.6) ** 2):.4f}, accuracy 0.00 %" in printed
    header = printed.split("Rows: ")[1].splitlines()[1]
    assert header.split() == ["actual", *map(str, range(12)), "accuracy"]
    model = load(number)
    model[1].bias.data[...] = 1e9
    model.save(number)
    printed = run("evaluate", number, "--data", folder).stdout
    assert "The numbers go from 0 to 1000000000: too many for a table" in printed


def test_predict_a_number(number: Path, folder: Path, tmp_path: Path) -> None:
    path, sheet = save(tmp_path / "digit.png"), tmp_path / "sheet.png"
    printed = run("predict", number, path, "--pictures", "plain", "--show", sheet).stdout
    assert printed == f"{path}: 11 (10.60)\n"
    assert sheet.stat().st_size > 0
    value = float(np.float32(10.6))
    answer = {"path": str(path), "digit": 11, "number": value, "pictures": "digits"}
    assert predict_json(number, path) == [answer]
    label = SETS[1].labels[3]
    printed = run("predict", number, "--test-image", 3, "--data", folder).stdout
    assert printed == f"predicted  11 (10.60)\n   actual  {label}\n"


def test_evaluate_what_is_no_model(trained: Path, folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((trained / "model.safetensors").read_bytes()[:-1])
    for path in (damaged, tmp_path / "nothing", tmp_path):
        assert str(path) in only_line(run("evaluate", path, "--data", folder, code=1))
    wrong = ("evaluate", trained, "--data", folder, "--worst", "worst.txt")
    assert "--worst" in run(*wrong, code=2).stderr


DIGIT = SETS[1].images[0]


def save(path: Path, mode: str = "L", form: str = "PNG", pixels: np.ndarray = DIGIT) -> Path:
    Image.fromarray(pixels).convert(mode).save(path, form)
    return path


def predict_json(model: Path, *paths: Path | str, code: int = 0) -> list[dict[str, Any]]:
    result = run("predict", model, *paths, "--json", code=code)
    assert result.stderr == ""
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("mode", "form"),
    [("L", "PNG"), ("LA", "PNG"), ("P", "TIFF"), ("RGB", "WEBP"), ("RGBA", "TIFF"), ("L", "PPM")],
)
def test_predict_plain_takes_grey_as_it_is(
    mode: str, form: str, trained: Path, tmp_path: Path
) -> None:
    # The content of a file decides whether it is a picture, not its name.
    options = {"lossless": True} if form == "WEBP" else {}
    path = tmp_path / "digit.txt"
    Image.fromarray(DIGIT).convert(mode).save(path, form, **options)
    proba = load(trained / "model.safetensors").predict_proba(DIGIT[np.newaxis])[0]
    answer = {"path": str(path), "digit": int(proba.argmax()), "probabilities": proba.tolist()}
    assert predict_json(trained, path, "--pictures", "plain") == [{**answer, "pictures": "plain"}]


def test_predict_prints_a_line_a_picture(trained: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a [b].png")
    proba = load(trained / "model.safetensors").predict_proba(DIGIT[np.newaxis])[0]
    expected = f"{path}: {proba.argmax()} ({100 * proba.max():.2f} %)\n"
    assert run("predict", trained, path, path, "--pictures", "plain").stdout == 2 * expected


def test_predict_reads_folders_in_order_without_what_is_hidden(
    trained: Path, tmp_path: Path
) -> None:
    for name in ("b/2.png", "a.png", "b/.hidden/3.png", ".hidden.png", "b/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        save(tmp_path / name)
    answers = predict_json(trained, tmp_path, tmp_path / "b")
    assert [Path(a["path"]).relative_to(tmp_path).as_posix() for a in answers] == [
        *("a.png", "b/1", "b/2.png"),
        *("b/1", "b/2.png"),
    ]


def test_predict_draws_what_the_model_saw(trained: Path, tmp_path: Path) -> None:
    path, sheet = save(tmp_path / "digit.png"), tmp_path / "sheet.png"
    run("predict", trained, path, "--pictures", "plain", "--show", sheet)
    with Image.open(sheet) as picture:
        shown = np.asarray(picture.convert("L"))
    # The image, six times as large, stands beside the picture.
    top, left = 14 + 24 + 2, 14 + 168 + 14
    assert (shown[top : top + 168 : 6, left : left + 168 : 6] == DIGIT).all()
    assert ".png" in run("predict", trained, path, "--show", tmp_path / "x.jpg", code=2).stderr


def bad_pictures(folder: Path) -> dict[Path, str]:
    """Files that must be refused, each with some words of the reason."""
    whole = save(folder / "whole.png").read_bytes()
    width_and_height = whole.index(b"IHDR") + 4
    bomb = bytearray(whole)
    bomb[width_and_height : width_and_height + 8] = b"\0\0\xff\xff\0\0\xff\xff"
    # Pillow checks the header's CRC before the size.
    end = width_and_height + 13
    bomb[end : end + 4] = zlib.crc32(bomb[width_and_height - 4 : end]).to_bytes(4, "big")
    large = bytearray(bomb)  # smaller than Pillow's own limit
    large[width_and_height : width_and_height + 8] = b"\0\0\x20\0\0\0\x20\0"
    large[end : end + 4] = zlib.crc32(large[width_and_height - 4 : end]).to_bytes(4, "big")
    files = {
        "bomb.png": (bytes(bomb), "more than 64,000,000 pixels"),
        "large.png": (bytes(large), "8192x8192: more than 64,000,000 pixels"),
        "cut.png": (whole[: len(whole) // 2], "damaged"),
        "empty.png": (b"", "not a picture"),
        "text.png": (b"seven", "not a picture"),
        "vector.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n", "not a picture"),
    }
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    frames = [Image.fromarray(part) for part in (DIGIT, DIGIT.T.copy())]
    for name in ("moving.gif", "moving.png", "pages.tiff"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    (folder / "no files").mkdir()
    return {
        **{folder / name: reason for name, (_, reason) in files.items()},
        **{
            folder / name: "2 frames or pages"
            for name in ("moving.gif", "moving.png", "pages.tiff")
        },
        save(folder / "blank.png", pixels=np.full((28, 32), 7, np.uint8)): "blank",
        folder / "no files": "no pictures in this folder",
        folder / "missing.png": "No such file",
    }


def test_predict_refuses_each_bad_file_and_does_the_others(trained: Path, tmp_path: Path) -> None:
    bad = bad_pictures(tmp_path)
    good = tmp_path / "whole.png"
    sheet = tmp_path / "sheet.png"
    paths = [good, *bad, good]
    answers = predict_json(trained, *paths, code=1)
    assert [answer["path"] for answer in answers] == [str(path) for path in paths]
    assert [set(a) - {"notes"} for a in (answers[0], answers[-1])] == [
        {"path", "digit", "probabilities", "pictures"}
    ] * 2
    for answer, (path, reason) in zip(answers[1:-1], bad.items(), strict=True):
        assert set(answer) == {"path", "error"}
        assert reason in answer["error"] and str(path) not in answer["error"]
    result = run("predict", trained, *paths, "--show", sheet, code=1)
    assert len(result.stdout.splitlines()) == 2
    with Image.open(sheet) as picture:
        assert picture.height > 500
    *errors, note = result.stderr.splitlines()
    assert errors == [f"byhand: {a['path']}: {a['error']}" for a in answers[1:-1]]
    assert note.startswith("byhand: pictures prepared as digits")


def test_predict_a_test_image(trained: Path, folder: Path) -> None:
    image, label = SETS[1].images[3], int(SETS[1].labels[3])
    proba = load(trained / "model.safetensors").predict_proba(image[np.newaxis])[0]
    options = ("--test-image", 3, "--data", folder)
    lines = run("predict", trained, *options).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        *([str(digit), f"{100 * p:.2f}"] for digit, p in enumerate(proba)),
        ["predicted", str(proba.argmax())],
        ["actual", str(label)],
        ["model", "epoch"],
    ]
    assert json.loads(run("predict", trained, *options, "--json").stdout) == {
        "test_image": 3,
        "digit": int(proba.argmax()),
        "probabilities": proba.tolist(),
        "actual": label,
    }


def test_a_model_that_is_not_finite(trained: Path, folder: Path, tmp_path: Path) -> None:
    model = load(trained / "model.safetensors")
    next(iter(model.parameters())).data[...] = np.nan
    damaged, picture = tmp_path / "nan.safetensors", save(tmp_path / "digit.png")
    model.save(damaged)
    for arguments in (
        ("evaluate", damaged, "--data", folder),
        ("predict", damaged, picture),
        ("predict", damaged, picture, "--json"),
        ("predict", damaged, "--test-image", 0, "--data", folder, "--json"),
    ):
        result = run(*arguments, code=1)
        assert "finite" in only_line(result) and result.stdout == ""


def test_data_that_the_model_cannot_take(trained: Path, tmp_path: Path) -> None:
    train, test = SETS
    others = {
        "20, 28": Dataset(test.images[:, :20].copy(), test.labels),
        "labels must be from 0 to 9, not 10": Dataset(test.images, test.labels + np.uint8(10)),
        "no images": Dataset(test.images[:0], test.labels[:0]),
    }
    for number, (reason, other) in enumerate(others.items()):
        data = write_folder(tmp_path / str(number), (other if number == 0 else train, other))
        for command in (["evaluate", trained], ["predict", trained, "--test-image", 0]):
            line = only_line(run(*command, "--data", data, code=1))
            assert str(data) in line and reason.split(",")[0] in line


def test_predict_wrong_usage(trained: Path, folder: Path) -> None:
    assert "PATH" in run("predict", trained, code=2).stderr
    result = run("predict", trained, "--test-image", 100, "--data", folder, code=2)
    assert "--test-image" in result.stderr and "99" in result.stderr
    assert "--split" in run("predict", trained, "--test-image", 3, "--split", code=2).stderr


@pytest.fixture
def year(tmp_path: Path) -> Path:
    """A picture of the number 2026 on lined paper."""
    page = np.full((200, 640), 240.0)
    page[160:162] = 120
    for place, digit in enumerate((2, 0, 2, 6)):
        ink = np.asarray(drawing(digit, place).convert("L").resize((140, 140)), float)
        level = np.abs(ink - ink[0, 0]) / np.abs(ink - ink[0, 0]).max()
        page[10:150, 15 + 150 * place : 155 + 150 * place] -= 200 * level
    path = tmp_path / "number.png"
    Image.fromarray(np.clip(page, 0, 255).astype(np.uint8)).save(path)
    return path


def test_several_marks_are_said(trained: Path, year: Path) -> None:
    result = run("predict", trained, year)
    assert "the largest of 4 marks" in result.stdout
    advice = "4 marks found; only the largest is read: crop the picture, or use --split"
    assert advice in " ".join(result.stderr.split())
    answer = json.loads(run("predict", trained, year, "--json").stdout)
    assert answer["marks"] == 4 and "the largest of 4 marks" in answer["notes"]


def test_split_reads_each_mark(trained: Path, year: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    answer = json.loads(run("predict", trained, year, "--split", "--json").stdout)
    each = answer["marks"]
    lefts = [mark["box"][1] for mark in each]
    assert len(each) == 4 and lefts == sorted(lefts)
    assert answer["text"] == "".join(str(mark["digit"]) for mark in each)
    assert all(len(mark["probabilities"]) == 10 for mark in each)
    stdout = run("predict", trained, year, "--split", "--show", sheet).stdout
    assert f": {answer['text']}  (" in stdout
    assert sheet.read_bytes().startswith(b"\x89PNG")
    refusal = run("predict", trained, year, "--split", "--pictures", "plain", code=2)
    assert "--pictures digits" in " ".join(refusal.stderr.split())
