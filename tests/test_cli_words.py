"""The texts of the command line: --help of every command, and errors for impossible values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from byhand.bench.cli import app as bench_app
from byhand.checks import not_one_of
from byhand.cli.app import app
from byhand.models import softmax_regression
from cli_support import run


def names(app: typer.Typer) -> Iterator[list[str]]:
    """Return the words that call each command of an app."""
    for command in app.registered_commands:
        yield [command.name or command.callback.__name__]
    for group in app.registered_groups:
        yield [group.name]
        yield from ([group.name, *name] for name in names(group.typer_instance))


def test_help_reads_well_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in ([], *names(app), *(["bench", *name] for name in names(bench_app))):
        lines = run(*command, "--help").stdout.splitlines()
        text = "\n".join(lines)
        assert lines[0].startswith("Usage: "), text
        assert max(map(len, lines)) <= 80, text
        # No Python types, no limits as formulas, no nested brackets, no sentences that are cut off.
        for jargon in ("<", ">", "x>=", "(default)", "[default", "...\n  -", "│", "TEXT", "list["):
            assert jargon not in text, text
        # Every option says what it does.
        options = [o for o in text.partition("Options:\n")[2].splitlines() if o.startswith("  --")]
        assert options and all("  " in line.strip() for line in options), text


def test_without_arguments() -> None:
    """`byhand` alone names the commands for a newcomer. Each of them exists."""
    text = run().stdout
    named = [line.split()[1] for line in text.splitlines() if line.startswith("  byhand ")]
    assert named == ["train", "predict", "demo"]
    assert {(name,) for name in named} <= {tuple(name) for name in names(app)}
    assert "byhand --help" in text
    assert max(map(len, text.splitlines())) <= 90


def test_paragraphs_are_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """--help fills each line to the width of the terminal, wherever the source breaks lines."""
    monkeypatch.setenv("COLUMNS", "60")
    intro = run("train", "--help").stdout.partition("Arguments:")[0]
    for paragraph in intro.split("\n\n")[1:]:
        lines = paragraph.splitlines()
        for line, following in itertools.pairwise(lines):
            assert len(line) + 1 + len(following.split()[0]) > 58, intro


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["bench", "trainin"], "No such command 'trainin'. Did you mean 'training'?"),
        (["train", "lenet"], "'lenet' is not one of softmax, mlp, lenet5. Did you mean lenet5?"),
        (["train", "cnn"], "'cnn' is not one of softmax, mlp, lenet5.\n"),
        (["train", "mlp", "--recipe", "Best"], "'Best' is not one of default, best. Did you"),
        (["train", "mlp", "--epochs", "x"], "'x' is not a whole number."),
        (["train", "mlp", "--epochs", "2.5"], "'2.5' is not a whole number."),
        (["train", "mlp", "--epochs", "0"], "0 is not possible: it must be a whole number, at le"),
        (["train", "mlp", "--threads", "257"], "must be a whole number, from 1 to 256."),
        (["train", "mlp", "--lr", "fast"], "'fast' is not a number."),
        (["train", "mlp", "--lr", "nan"], "'nan' is not a number."),
        (
            ["train", "mlp", "--seed", 2**64],
            f"a whole number, from 0 to {2**64 - 1}.",
        ),
        (["train", "mlp", "--label-smoothing", "2"], "it must be a number, from 0.0 to 1.0."),
        (["train", "mlp", "--out", ""], "the path is empty."),
        (["train", "mlp", "--out", "~nosuch/x"], "'~nosuch/x': this user has no home folder."),
        (["train", "mlp", "--data", __file__], f"{__file__!r} is a file. It must be a folder."),
        (["train", "mlp", "--out", __file__], f"{__file__!r} is a file. It must be a folder."),
        (["train", "mlp", "--data", "/dev/null"], "'/dev/null' is a device, a pipe or a socket."),
        (["reproduce", "bst"], "'BST' is not one of A, B, C, D, E, BEST. Did you mean BEST?"),
        (["bench", "kernels", "--op", "con2d"], "Did you mean conv2d?"),
        (["bench", "kernels", "--batch", "x"], "'x' is not a whole number."),
        (["bench", "training", "--models", "lenet"], "Did you mean lenet5?"),
        (["bench", "training", "--activation", "rely"], "Did you mean relu?"),
        (["bench", "kernels", "--peers", "nunpy"], "Did you mean numpy?"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_a_value_that_cannot_be(
    words: list[Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    error = run(*words, code=2).stderr
    assert said in error
    assert "Value error" not in error and "Input should" not in error


def test_not_one_of() -> None:
    assert not_one_of("Relu", ["relu", "tanh"]).endswith("Did you mean relu?")
    assert not_one_of("", ["relu"]) == "'' is not one of relu."


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """byhand expands a tilde itself, because the shell does not expand it in --out=~/x."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    run("data", "draw-examples", "~/drawings")
    softmax_regression().save(tmp_path / "home" / "model.safetensors")
    run("predict", "~/model.safetensors", "~/drawings/1.png", "--show=~/sheet.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
    assert (tmp_path / "home" / "sheet.png").is_file()
