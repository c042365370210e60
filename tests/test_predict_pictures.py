"""Model.predict and the other predictions of paths and PIL images; advice for wrong shapes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import models, nn
from byhand.data import Dataset
from byhand.pictures import PictureError, PictureWarning, image_for
from byhand.pictures.drawings import drawing, drawing_png
from cli_support import run, write_folder
from PIL import Image, ImageDraw


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{digit}.png" for digit in range(3)]
    for digit, path in enumerate(paths):
        path.write_bytes(drawing_png(digit))
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("way", [None, "digits", "plain"])
def test_pictures_are_prepared_as_the_command_prepares_them(files: list[Path], way: Any) -> None:
    model = models.mlp((5,))
    images = np.stack([image_for(model, path, way)[0] for path in files])
    expected = model.predict_proba(images)
    opened = [Image.open(path) for path in files]
    forms: list[Any] = [files, tuple(map(str, files)), opened, [files[0], opened[1], str(files[2])]]
    for pictures in forms:
        assert np.array_equal(model.predict_proba(pictures, pictures=way), expected)
        assert np.array_equal(model.predict(pictures, pictures=way), expected.argmax(axis=1))
        assert np.array_equal(model.outputs(pictures, pictures=way), model.outputs(images))
    for single in (files[1], str(files[1]), drawing(1), files[1].read_bytes()):
        assert np.array_equal(model.predict(single, pictures=way), expected[1:2].argmax(axis=1))
    assert model.predict([]).shape == (0,)


def test_the_model_decides_how() -> None:
    model = models.mlp((5,))
    model.pictures = "plain"
    plain = model.predict_proba(drawing(3))
    assert np.array_equal(plain, model.predict_proba(drawing(3), pictures="plain"))
    assert not np.array_equal(plain, model.predict_proba(drawing(3), pictures="digits"))


@pytest.mark.slow
def test_the_callers_image_stays_as_it_is(files: list[Path]) -> None:
    """byhand may decode a JPEG at a fraction of its size, but not in the caller's image."""
    file = io.BytesIO()
    drawing(4).resize((5000, 4000)).save(file, "JPEG")
    image = Image.open(file)
    models.mlp((5,)).predict(image)
    assert image.size == (5000, 4000)


@pytest.mark.slow
def test_the_likeliest_classes_by_name(files: list[Path]) -> None:
    model = models.mlp((5,), classes=4)
    model.class_names = ("north", "east", "south", "west")
    probabilities = model.predict_proba(files)
    for k, shown in ((1, 1), (2, 2), (np.int64(9), 4)):
        rows = model.predict_top(files, k)
        assert len(rows) == 3
        for row, expected in zip(rows, probabilities, strict=True):
            order = np.argsort(-expected)[:shown]
            assert row == [(model.class_names[c], float(expected[c])) for c in order]
    images = np.zeros((2, 28, 28), np.uint8)
    assert [len(row) for row in model.predict_top(images)] == [3, 3]
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        model.predict_top(files, 0)


def test_what_cannot_be_read_is_named(files: list[Path], tmp_path: Path) -> None:
    model, text, blank = models.mlp((5,)), tmp_path / "text.png", Image.new("L", (40, 40), 200)
    text.write_text("seven")
    with pytest.raises(PictureError, match=r"text\.png: not a picture"):
        model.predict([files[0], text])
    with pytest.raises(PictureError, match="picture 1: blank"):
        model.predict([files[0], blank])
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        model.predict(tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"pictures='plain' needs paths or PIL images"):
        model.predict(np.zeros((1, 28, 28), np.uint8), pictures="plain")
    with pytest.raises(ValueError, match="pictures must be 'digits' or 'plain', not 'x'"):
        model.predict(files, pictures="x")
    for wrong in ([files[0], np.zeros((28, 28), np.uint8)], 7, None, [[0]]):
        with pytest.raises(TypeError, match="predict also takes paths and PIL images"):
            model.predict(wrong)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Draw a picture of four digits."""
    page = Image.new("L", (400, 120), 255)
    for place, digit in enumerate((7, 2, 1, 0)):
        ink = Image.new("L", (60, 90), 255)
        ImageDraw.Draw(ink).text((5, 0), str(digit), 0, font_size=80)
        page.paste(ink, (20 + 95 * place, 15))
    page.save(tmp_path / "four.png")
    return tmp_path / "four.png"


def test_several_marks_are_warned_of_once_in_a_call(several: Path, files: list[Path]) -> None:
    model = models.mlp((5,))
    for call in (model.predict, model.predict_proba, model.predict_top, model.outputs):
        with pytest.warns(PictureWarning) as caught:
            call(several)
        (warning,) = caught
        assert warning.filename == __file__
        advice = "only the largest is read: crop the picture, or use byhand.pictures.symbols_for"
        assert str(warning.message) == f"{several}: 4 marks found; {advice}"
    with pytest.warns(PictureWarning) as caught:
        model.predict([files[0], several, Image.open(several)])
    (warning,) = caught
    assert str(warning.message).startswith(
        f"{several}: 4 marks found (other pictures with several marks: 1); "
    )
    model.predict(several, pictures="plain")


@pytest.mark.slow
def test_class_folders_say_how_many_pictures_have_several_marks(
    several: Path, tmp_path: Path
) -> None:
    for label in ("a", "b"):
        for i in range(3):
            path = tmp_path / "d" / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(several.read_bytes() if i else drawing_png(i))
    options = ("--data", tmp_path / "d", "--out", tmp_path / "run", "--epochs", 1)
    said = "pictures with several marks, of which the largest is used: "
    assert f"4 {said}" in run("train", "softmax", *options, "--pictures", "digits").stderr
    assert f"2 {said}" in run("evaluate", tmp_path / "run").stderr  # of the test set
    assert run("evaluate", tmp_path / "run", "--pictures", "plain").stderr == ""


@pytest.mark.parametrize(
    ("shape", "wanted", "advice"),
    [
        ((28, 28), (1, 28, 28), "for a single image add the axis, images[np.newaxis]"),
        ((1, 28, 28, 1), (1, 28, 28), "images[..., 0]"),
        ((28, 28, 1), (1, 28, 28), "images.transpose(2, 0, 1)[np.newaxis]"),
        ((7, 20, 30, 3), (3, 20, 30), "images.transpose(0, 3, 1, 2)"),
        ((20, 30, 3), (3, 20, 30), "images.transpose(2, 0, 1)[np.newaxis]"),
        ((3, 20, 30), (3, 20, 30), "images[np.newaxis]"),
        ((480, 640, 3), (1, 28, 28), "as a path or a PIL image"),
        ((480, 640), (3, 20, 30), "as a path or a PIL image"),
    ],
)
def test_arrays_of_other_shapes_get_advice(shape: Any, wanted: Any, advice: str) -> None:
    model = models.mlp((5,), input_shape=wanted)
    images = np.zeros(shape, np.uint8)
    with pytest.raises(ValueError) as error:
        model.predict(images)
    assert advice in str(error.value)
    if "transpose" in advice or "..." in advice:
        changed = eval(advice, {"images": images, "np": np})
        assert len(model.predict(changed)) == (shape[0] if len(shape) == 4 else 1)


@pytest.mark.slow
def test_without_pillow_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['PIL'] = None; import byhand\n"
        "byhand.models.mlp((5,)).predict('a.png')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith('pip install "byhand[pictures]"'), done.stderr


def test_a_model_imports_pillow_for_pictures_alone() -> None:
    code = (
        "import sys, byhand, numpy as np\n"
        "byhand.models.mlp((5,)).predict(np.zeros((1, 28, 28), np.uint8))\n"
        "sys.exit('PIL' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert byhand.models.model.read_pictures is not None


def answers_always(path: Path, **probabilities: float) -> Path:
    """Write a model with classes a to e that answers these probabilities for every picture."""
    model = models.softmax_regression(classes=5)
    model.class_names = tuple("abcde")
    weight, bias = model.parameters()
    weight.data.fill(0.0)
    bias.data[:] = np.log([probabilities.get(name, 0.01) for name in model.class_names])
    model.save(path)
    return path


def said(model: Path, picture: Path) -> str:
    """Return the answer of `predict`. The notes of --json must be the same."""
    (line,) = run("predict", model, picture).stdout.splitlines()
    notes = json.loads(run("predict", model, picture, "--json").stdout).get("notes", [])
    assert line.split("; ")[1:] == notes
    return str(line.removeprefix(f"{picture}: "))


def test_an_unsure_answer_is_said_with_the_next_best(files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    unsure = answers_always(path, b=0.79, d=0.18)
    assert said(unsure, files[2]) == "b (79.00 %); unsure: perhaps d (18.00 %)"
    sure = answers_always(path, b=0.81, d=0.16)
    assert said(sure, files[2]) == "b (81.00 %)"


def test_a_model_with_one_output_has_no_margin(files: list[Path], tmp_path: Path) -> None:
    model = models.Model(nn.Flatten(), nn.Linear(784, 1))
    model.parameters()[0].data.fill(0.0)
    model.parameters()[1].data.fill(2.4)
    model.save(tmp_path / "model.safetensors")
    assert said(tmp_path / "model.safetensors", files[2]) == "2 (2.40)"


@pytest.mark.slow
@pytest.mark.parametrize("ink", [0, 255])
def test_ink_unlike_a_stroke_is_said(ink: int, files: list[Path], tmp_path: Path) -> None:
    """`predict` notes that a disc is no stroke, in any colours. Digits are drawn with strokes."""
    image = Image.new("L", (200, 200), 255 - ink)
    ImageDraw.Draw(image).ellipse((50, 50, 150, 150), fill=ink)
    image.save(tmp_path / "disc.png")
    sure = answers_always(tmp_path / "sure.safetensors", c=0.96)
    assert (
        said(sure, tmp_path / "disc.png")
        == "c (96.00 %); looks like a blob, not like a pen's strokes"
    )
    assert said(sure, files[2]) == "c (96.00 %)"
    unsure = answers_always(tmp_path / "unsure.safetensors", c=0.5, d=0.47)
    assert said(unsure, tmp_path / "disc.png") == (
        "c (50.00 %); looks like a blob, not like a pen's strokes; unsure: perhaps d (47.00 %)"
    )


def test_json_has_names_if_the_classes_have(files: list[Path], tmp_path: Path) -> None:
    """A class with a name, such as cherry, is not shown as the digit 2."""
    model = models.mlp((5,), classes=3)
    names = model.class_names = ("apple", "banana", "cherry")
    model.save(tmp_path / "model.safetensors")
    lines = run("predict", tmp_path / "model.safetensors", *files, "--json").stdout.splitlines()
    probabilities = model.predict_proba(files)
    for line, row in zip(map(json.loads, lines), probabilities, strict=True):
        assert set(line) - {"notes"} == {"path", "class", "probabilities", "pictures"}
        assert line["pictures"] == "digits"
        assert line["class"] == names[int(row.argmax())]
        assert line["probabilities"] == dict(zip(names, row.tolist(), strict=True))
    sets = [Dataset(np.zeros((2, 28, 28), np.uint8), np.array([2, 1], np.uint8))] * 2
    data = write_folder(tmp_path / "data", (sets[0], sets[1]))
    arguments = ("--test-image", 0, "--data", data, "--json")
    answer = json.loads(run("predict", tmp_path / "model.safetensors", *arguments).stdout)
    assert answer["actual"] == "cherry" and answer["class"] in names and "digit" not in answer
