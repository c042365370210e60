"""`byhand reproduce`: which figures count as reached, the table, the command on a tiny data set."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand.data import Dataset
from byhand.reproduce import FIGURES, TUTORIALS, Check, Figure, Row, markdown, plain, train_figures
from byhand.reproduce.checks import cnn_below_mlp, there_and_back
from byhand.reproduce.figures import last_accuracy, last_loss
from byhand.training import EpochEnd
from cli_support import make_sets, run, write_folder

SETS = make_sets(train=240, test=60)


def end(epoch: int, loss: float, validation_loss: float, accuracy: float) -> EpochEnd:
    return EpochEnd(
        epoch=epoch,
        epochs=3,
        loss=loss,
        error=0.5,
        validation_loss=validation_loss,
        validation_accuracy=accuracy,
        lr=0.1,
        seconds=1.0,
        images_per_second=1.0,
        best=False,
    )


HISTORY = (end(1, 3.0, 0.9, 0.5), end(2, 2.0, 0.2, 0.7), end(3, 1.0, 0.4, 0.8))


def test_which_number_counts() -> None:
    assert last_accuracy(HISTORY) == pytest.approx(80)
    book, ours = FIGURES[2].ways  # LeNet-5 with the settings of the book, and with our recipe
    assert last_accuracy(book.counted(HISTORY)) == pytest.approx(70)
    assert ours.counted(HISTORY) == HISTORY
    assert last_loss(HISTORY) == 1.0


def test_an_accuracy_is_reached_within_a_standard_error() -> None:
    figure = Figure("A", "x", 90.0, (), last_accuracy)
    # sqrt(0.9 * 0.1 / 10,000) is 0.3 %.
    assert figure.reached(89.71, 10_000) and not figure.reached(89.69, 10_000)
    assert figure.met(90.0) and not figure.met(89.99)
    assert dataclasses.replace(figure, theirs=None).reached(0.0, 10_000)


def test_a_loss_is_reached_as_it_is() -> None:
    figure = Figure("C", "x", 1.1, (), last_loss, lower=True)
    assert figure.reached(1.1, 10_000) and not figure.reached(1.101, 10_000)


def test_the_figures_of_the_tutorials() -> None:
    stated = {(f.tutorial, f.theirs) for f in FIGURES if f.theirs is not None}
    assert stated == {
        *(("A", 90.01), ("A", 94.95), ("A", 99.20)),
        *(("B", 92.34), ("B", 97.66), ("B", 99.20)),
        *(("C", 1.1), ("BEST", 98.6), ("BEST", 99.5)),
    }
    assert [f.seeds for f in FIGURES if f.theirs == 99.5] == [5]


def row(network: str, *histories: tuple[EpochEnd, ...], tutorial: str = "C") -> Row:
    figure = next(f for f in FIGURES if f.tutorial == tutorial and f.network.startswith(network))
    return Row(figure, figure.ways[0], histories, 2.0, False)


def test_the_cnn_must_be_below_the_mlp_in_every_epoch() -> None:
    lower = tuple(dataclasses.replace(e, loss=e.loss - 0.1) for e in HISTORY)
    assert cnn_below_mlp([row("MLP", HISTORY), row("CNN", lower)]).passed
    crossing = (*lower[:2], dataclasses.replace(lower[2], loss=1.5))
    check = cnn_below_mlp([row("MLP", HISTORY), row("CNN", crossing)])
    assert check.passed is False and "1.50 / 1.00" in check.result


def test_pictures_and_back() -> None:
    check = there_and_back(SETS[1])
    assert check.passed and "60 images" in check.result


def test_the_table() -> None:
    checks = [Check("D", "this", "was done", True), Check("E", "that", "was not", False)]
    lines = markdown([row("CNN", HISTORY, HISTORY)], checks, ["today"]).splitlines()
    cells = [cell.strip() for cell in lines[4].split("|")[1:-1]]
    assert lines[0] == "today"
    assert cells[:2] == ["C", "CNN 20-20-1, loss"]
    assert cells[3:] == ["at most 1.1", "1.00", "1.00, 1.00", "3", "2", "not reached"]
    assert lines[-2:] == ["- D: this: was done (yes)", "- E: that: was not (NO)"]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_table_for_a_terminal(columns: int) -> None:
    rows = [row(network, HISTORY, *[HISTORY] * 9) for network in ("CNN", "MLP")]
    checks = [Check("D", "this, that " * 9, "was done", True)]
    text = plain(rows, checks, ["today " * 30], columns)
    assert max(map(len, text.splitlines())) <= columns
    words = " ".join(text.split())
    for row_ in rows:
        for said in (row_.figure.network, row_.way.settings, "ours 1.00", "3 epochs, 2 s"):
            assert said in words
    assert "published at most 1.1, ours 1.00" in words and "2 s: not reached" in words
    assert words.endswith("was done (yes)")


@pytest.mark.slow
def test_every_figure_can_be_trained() -> None:
    told: list[str] = []
    rows = list(train_figures(TUTORIALS, SETS, seeds=1, epochs=1, told=told.append))
    assert {r.figure for r in rows} == set(FIGURES) and len(told) == len(rows)
    assert all(len(r.histories) == 1 and len(r.histories[0]) == 1 for r in rows)
    short = [r for r in rows if not r.figure.met(r.ours)]
    for figure in {r.figure for r in short}:  # all ways must have been tried
        assert [r.way for r in rows if r.figure == figure] == list(figure.ways)


def test_tutorial_c_trains_on_five_sixths(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def train(self: object, sets: tuple[Dataset, Dataset], seed: int, epochs: int) -> object:
        seen.append(len(sets[0]))
        return [*HISTORY]

    monkeypatch.setattr("byhand.reproduce.figures.Way.train", train)
    list(train_figures("C", SETS, seeds=2, told=str))
    assert seen == [200] * 4


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({}, [20, 20, 20, 5]),
        ({"full": True}, [100, 100, 100, 5]),
        ({"full": True, "epochs": 30}, [30, 30, 30, 5]),
        ({"epochs": 3}, [3, 3, 3, 3]),
    ],
)
def test_tutorial_a_has_all_of_its_passes_on_demand(
    options: dict[str, Any], passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last number of epochs is that of our recipe for LeNet-5, which `full` does not change."""
    seen: list[int] = []

    def train(self: object, sets: tuple[Dataset, Dataset], seed: int, epochs: int) -> object:
        seen.append(epochs)
        return [*HISTORY]

    monkeypatch.setattr("byhand.reproduce.figures.Way.train", train)
    list(train_figures("A", SETS, seeds=1, told=str, **options))
    assert seen == passes


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    data, out = write_folder(tmp_path / "data", SETS), tmp_path / "out"
    options = ["--data", data, "--out", out, "--epochs", 1, "--seeds", 1]
    result = run("reproduce", "a", "C", *options, code=1)  # one epoch reaches no published figure
    assert "A, MLP 128-64, ReLU; A, LeNet-5; C, CNN 20-20-1, loss\n" in result.stderr
    assert max(map(len, result.stdout.splitlines()[:-1])) <= 80
    for line in (out / "table.md").read_text().splitlines()[4:]:
        ours = line.split("|")[5].strip() if line.startswith("|") else ""
        assert ours in result.stdout
    results = json.loads((out / "results.json").read_text())
    assert {r["tutorial"] for r in results["rows"]} == {"A", "C"}
    assert all(np.isfinite(r["ours"]) for r in results["rows"])
    assert all((out / f"curves-{name}.png").stat().st_size > 1000 for name in "AC")


def test_an_unknown_tutorial() -> None:
    assert "'F' is not one of A, B, C, D, E, BEST" in run("reproduce", "F", code=2).stderr
