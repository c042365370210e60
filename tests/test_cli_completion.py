"""What the shell suggests when a user presses Tab, asked as the scripts of the shells ask."""

from __future__ import annotations

from pathlib import Path

import pytest
import shellingham
from byhand.cli.app import app


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what the command prints under its own name, which the scripts contain."""
    with pytest.raises(SystemExit) as end:
        app(args=words, prog_name="byhand")
    assert not end.value.code
    return capsys.readouterr().out


def completed(
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shell: str = "bash",
) -> list[str]:
    """Return the suggestions for the last word of a command line, which may be empty."""
    monkeypatch.setenv("_BYHAND_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    return printed(capsys).split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("byhand tr", ["train"]),
        ("byhand data to", ["to-png"]),
        ("byhand train ", ["softmax", "mlp", "lenet5"]),
        ("byhand train m", ["mlp"]),
        ("byhand train mlp --activ", ["--activation"]),
        ("byhand train mlp --activation ", ["relu", "tanh", "sigmoid"]),
        ("byhand train mlp --optimizer ad", ["adam", "adamw"]),
        ("byhand train --resume runs/m", ["runs/mlp-1", "runs/mlp-2"]),
        ("byhand evaluate ", ["runs/lenet5-1", "runs/mlp-1", "runs/mlp-2"]),
        ("byhand plot runs/mlp-1 runs/l", ["runs/lenet5-1"]),
        ("byhand predict photos/", []),  # the shell then suggests files
        ("byhand reproduce B", ["B", "BEST"]),
        ("byhand simt x.cu --schedule f", ["forward"]),
        ("byhand bench tr", ["training"]),
        ("byhand bench training --act", ["--activation"]),
        ("byhand ladder c", ["conv2d"]),
    ],
)
def test_suggestions(
    line: str,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mlp-1", "mlp-2", "lenet5-1"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.json").touch()
    (tmp_path / "runs" / "notes").mkdir()  # not a run folder
    assert completed(line, monkeypatch, capsys) == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "byhand train mlp --activation "
    found = " ".join(completed(line, monkeypatch, capsys, shell))
    assert all(name in found for name in ("relu", "tanh", "sigmoid"))
    assert "lenet5" not in found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shellingham, "detect_shell", lambda: (shell, f"/bin/{shell}"))
    assert f"_BYHAND_COMPLETE=complete_{shell}" in printed(capsys, "--show-completion")


def test_installing_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shellingham, "detect_shell", lambda: ("fish", "/usr/bin/fish"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "byhand.fish" in printed(capsys, "--install-completion")
    (script,) = tmp_path.rglob("byhand.fish")
    assert "_BYHAND_COMPLETE=complete_fish" in script.read_text()


@pytest.mark.parametrize("line", ["byhand bench ", "byhand ladder "])
def test_tab_prints_nothing_but_suggestions(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("byhand.cli.app.announce", lambda text: pytest.fail(text))
    assert "gemm" in completed(line, monkeypatch, capsys)
