"""Sheets of pictures: texts are complete, do not overlap, and name the classes. Tables fit."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand.cli.confusion import say_confusion
from byhand.data import Dataset
from byhand.models import softmax_regression
from byhand.pictures.sheet import Card, Tile, sheet_png, thumbnail, tiles_png
from byhand.plots import figure as plotting
from cli_support import make_sets, run, write_folder
from PIL import Image, ImageDraw
from rich.cells import cell_len

IMAGE = np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.uint8)
LONG = "a very long name of a class that nobody reads at once"
# An Egyptian hieroglyph. matplotlib's font lacks it, and so do the fonts of the test machine.
EGYPTIAN = "\U00013000\U00013001"

Box = tuple[float, float, float, float]


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[Box, str]]:
    """Return the position of every drawn text: left, top, right, bottom."""
    found: dict[Box, str] = {}
    original = ImageDraw.ImageDraw.text

    def text(self: Any, xy: Any, text: str, fill: Any, font: Any) -> None:
        found[self.textbbox(xy, text, font=font)] = text
        original(self, xy, text, fill, font)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return found


def apart(boxes: dict[Box, str], content: bytes) -> None:
    """Assert that no text overlaps another or leaves the picture."""
    import io

    width, height = Image.open(io.BytesIO(content)).size
    for left, top, right, bottom in boxes:
        assert left >= 0 and top >= 0 and right <= width and bottom <= height
    for (a, one), (b, other) in itertools.combinations(boxes.items(), 2):
        across = min(a[2], b[2]) - max(a[0], b[0])
        down = min(a[3], b[3]) - max(a[1], b[1])
        assert across <= 0 or down <= 2, (one, other)


@pytest.mark.parametrize("names", [["0", "1"], ["cherry", "$pear_x$"], [LONG, f"{LONG}, too"]])
def test_the_texts_of_mistakes_do_not_collide(names: list[str], texts: dict[Box, str]) -> None:
    tiles = [Tile(IMAGE, (names[i % 2], f"read as {names[1 - i % 2]} (98 %)")) for i in range(7)]
    apart(texts, tiles_png(tiles))
    assert len(texts) == 14
    for text in texts.values():
        assert text in (*names, *(f"read as {name} (98 %)" for name in names)) or "..." in text


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4, 31])
def test_the_texts_of_cards_do_not_collide(count: int, texts: dict[Box, str]) -> None:
    names = ["cherry tomato", "pear", LONG]
    rng = np.random.default_rng(1)
    cards = [Card("bad.png", error=f"{LONG}. " * 9), Card("x.png", error="x")]
    for i in range(count):
        p = rng.dirichlet(np.full(3, 0.3)).astype(np.float32)
        cards.append(Card(f"{LONG * 3}/{i}.png", thumbnail(IMAGE[..., None]), IMAGE, p))
    cards.append(Card("a.png", thumbnail(IMAGE[:9, :, None]), IMAGE, None, "7 (6.83)"))
    apart(texts, sheet_png(cards, names))
    drawn = list(texts.values())
    assert drawn.count("cherry tomato") >= count  # names with enough space are not cut
    assert "7 (6.83)" in drawn
    assert any(text.startswith("...") and text.endswith("/0.png") for text in drawn)


def test_the_answer_is_a_text(texts: dict[Box, str]) -> None:
    probabilities = np.array([0.25, 0.75], np.float32)
    sheet_png([Card("x", thumbnail(IMAGE[..., None]), IMAGE, probabilities)], ["cat", "dog"])
    assert "dog  75.0 %" in texts.values()


def test_names_that_no_font_has_are_numbers(texts: dict[Box, str]) -> None:
    with pytest.warns(UserWarning, match=f"no installed font has the letters of {EGYPTIAN}:"):
        names = plotting.drawable_names(["cat", EGYPTIAN])
    assert names == ["cat", "class 1"]
    tiles_png([Tile(IMAGE, (EGYPTIAN,))])
    assert list(texts.values()) == [r"\U00013000\U00013001"]


def test_evaluate_and_data_name_the_classes(
    texts: dict[Box, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = make_sets(train=1, test=30)[1]
    named = Dataset(test.images, test.labels % 2, class_names=("cat", "dog"))
    monkeypatch.setattr("byhand.cli.run_data.load_for", lambda *_, **__: (named, named))
    model = softmax_regression(classes=2)
    model.class_names = ("cat", "dog")
    model.save(tmp_path / "model.safetensors")
    run("evaluate", tmp_path / "model.safetensors", "--worst", tmp_path / "worst.png")
    assert {text.split(" (")[0] for text in texts.values() if "no. " not in text} <= {
        *("cat", "dog"),
        *("read as cat", "read as dog"),
    }
    assert texts


# --------------------------------------------------------------------------------------------------
# Tables


def confusion(names: list[str], columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("byhand.cli.confusion.say", said.append)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(names), 1000)
    predicted = np.where(rng.random(1000) < 0.9, labels, rng.integers(0, len(names), 1000))
    table = np.zeros((len(names), len(names)), np.int64)
    np.add.at(table, (labels, predicted), 1)
    say_confusion(names, table)
    return said


def test_a_table_of_short_names_has_them_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = confusion(["cat", "dog"], 80, monkeypatch)
    assert lines[1].split() == ["actual", "cat", "dog", "accuracy"]


def test_a_table_of_long_names_numbers_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"animal number {k}" for k in "abcdefghij"]
    lines = confusion(names, 80, monkeypatch)
    assert max(map(len, lines[1:])) <= 80
    assert lines[1].split() == ["actual", *map(str, range(10)), "accuracy"]
    assert lines[4].strip().startswith("animal number c  2 ")
    wide = confusion(names, 250, monkeypatch)
    assert wide[1].count("animal number") == 10


def test_a_table_of_many_classes_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = confusion([f"class {k}" for k in range(36)], 80, monkeypatch)
    assert max(map(len, lines)) <= 80
    assert sum(line.count(" %") for line in lines) == 36
    assert "The commonest mistakes:" in lines and "taken for" in lines[-1]


# Names that a folder may have: control characters, many letters, wide letters, several lines.
NAMES = ["\x1b[31mred", "two\nlines", 120 * "x", "日本", "\u202eabc", "a"]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_table_of_names_that_would_break_it(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = confusion(NAMES, columns, monkeypatch)
    assert all(line.isprintable() for line in lines)
    assert max(map(cell_len, lines[1:])) <= max(80, columns)
    rows = [line for line in lines if " %" in line]
    assert len(rows) == len(NAMES) and len(set(map(cell_len, rows))) == 1
    for row, name in zip(rows, (r"\x1b[31mred", r"two\nlines", 27 * "x" + "..."), strict=False):
        assert row.strip().startswith(name)


def test_names_of_a_test_image(tmp_path: Path) -> None:
    """Names are shown in lines of equal form, without control characters. JSON has the names."""
    model = softmax_regression(classes=len(NAMES), seed=0)
    model.class_names = tuple(NAMES)
    model.save(tmp_path / "model.safetensors")
    sets = tuple(Dataset(p.images[p.labels < 6], p.labels[p.labels < 6]) for p in make_sets(60, 60))
    data = write_folder(tmp_path / "data", sets)
    (data / "classes.txt").write_text("a\nb\nc\nd\ne\nf\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("byhand.cli.data.check", lambda *_, **__: None)
        command = ("predict", tmp_path / "model.safetensors", "--data", data, "--test-image", 0)
        lines = run(*command).stdout.splitlines()
        answer = json.loads(run(*command, "--json").stdout)
    assert all(line.isprintable() for line in lines)
    ends = {cell_len(line.partition(" %")[0]) for line in lines[: len(NAMES)]}
    assert len(lines) == len(NAMES) + 2 and len(ends) == 1
    assert list(answer["probabilities"]) == NAMES


def test_names_of_pictures(tmp_path: Path) -> None:
    softmax_regression(seed=0).save(tmp_path / "model.safetensors")
    for name in ("\x1b[31mred.png", "two\nlines.png"):
        Image.new("L", (28, 28), 9).save(tmp_path / name)
    command = ("predict", tmp_path / "model.safetensors", *tmp_path.glob("*.png"))
    result = run(*command, "--pictures", "plain")
    assert len(result.stdout.splitlines()) == 2 and "\x1b" not in result.stdout
    result = run(*command, "--pictures", "digits", code=1)  # the pictures are blank
    assert len(result.stderr.splitlines()) == 2 and "\x1b" not in result.stderr
