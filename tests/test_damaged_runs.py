"""If a file is damaged, edited, removed or swapped, the error names it.

These are files of a run folder, and logs of handlers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from byhand import models, optim
from byhand.files.tensors import CheckpointError
from byhand.training import Trainer
from byhand.training.handlers import LogFile
from byhand.training.run_folder import RunFolder
from networks import digits, trainer

HEADER = ",".join(LogFile.COLUMNS).encode() + b"\n"


def fit(folder: Path, epochs: int = 3, *, resume: bool = False) -> None:
    trainer(run=folder).fit(digits(60), epochs=epochs, validation=digits(20, seed=1), resume=resume)


def edited(name: str, value: object) -> Callable[[Path], None]:
    """Change a value in config.json, or in the last line of metrics.jsonl."""

    def edit(path: Path) -> None:
        text = path.read_text()
        lines = text.splitlines() if path.suffix == ".jsonl" else [text]
        lines[-1] = json.dumps({**json.loads(lines[-1]), name: value})
        path.write_text("".join(f"{line}\n" for line in lines))

    return edit


def filled(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


DAMAGES = {
    "config.json": [
        (filled(b"\xff\xfe\n"), "is not JSON: "),
        (filled(b"[" * 100_000), "is not JSON: "),
        (filled(b"[]"), "does not describe a run"),
        (edited("counts", "foo"), "is damaged: 'counts' is \"foo\""),
        (edited("counts", [1]), r"is damaged: 'counts' is \[1\]"),
        (edited("notes", [1]), r"is damaged: 'notes' is \[1\]"),
        (edited("crc32", [1]), r"is damaged: 'crc32' is \[1\]"),
        (edited("crc32", {"train": 1}), r"is damaged: 'crc32' is "),
        (edited("data", {"folder": 3}), r"is damaged: 'data' is "),
    ],
    "metrics.jsonl": [
        (filled(b"\xff\xfe\n"), "does not list epochs: 'utf-8' codec"),
        (filled(b""), "lists no epoch"),
        (filled(b"[1]\n"), "does not list epochs: line 1 must have epoch, epochs, loss"),
        (edited("epoch", "x"), 'does not list epochs: epoch in line 3 is "x"'),
        (edited("epoch", 7), "does not list epochs: line 3 is that of epoch 7"),
        (edited("loss", None), "does not list epochs: loss in line 3 is null"),
        (edited("loss", 10**400), "does not list epochs: int too large"),
        (edited("loss", float("inf")), "does not list epochs: loss in line 3 is Infinity"),
        (edited("validation_loss", "x"), "does not list epochs: validation_loss in line 3 is"),
        (edited("best", "no"), 'does not list epochs: best in line 3 is "no"'),
        (edited("lr", True), "does not list epochs: lr in line 3 is true"),
    ],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    fit(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [(name, *damage) for name, damages in DAMAGES.items() for damage in damages],
)
def test_a_damaged_file_is_named(
    name: str, damage: Callable[[Path], None], message: str, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    damage(folder / name)
    message = f"^{folder / name} {message}"
    with pytest.raises(CheckpointError, match=message):
        RunFolder(folder).choose()
    with pytest.raises(CheckpointError, match=message):
        fit(folder, epochs=4, resume=True)


def test_a_file_that_was_removed_is_named(whole: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "metrics.jsonl"):
        folder = tmp_path / name
        shutil.copytree(whole, folder)
        (folder / name).unlink()
        message = f"{folder} holds no {name}: it is missing from the run, which has config.json"
        with pytest.raises(FileNotFoundError, match=message):
            RunFolder(folder).choose("last")


def test_the_state_of_something_else_is_refused(whole: Path, tmp_path: Path) -> None:
    other = models.mlp((4,), seed=0)
    Trainer(other, optim.SGD(other.parameters(), 0.01), run=tmp_path / "other").fit(
        digits(60), epochs=3
    )
    for number, (source, message) in enumerate(
        [
            (whole / "model.safetensors", "is not the state of a run"),
            (tmp_path / "other" / "state.safetensors", "is the state of another run: "),
        ]
    ):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        shutil.copy(source, folder / "state.safetensors")
        with pytest.raises(CheckpointError, match=f"^{folder}/state.safetensors {message}"):
            fit(folder, epochs=4, resume=True)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("log.csv", b"foo\n", "its first line has other columns"),
        ("log.csv", b"\xff\xfe\n", "'utf-8' codec"),
        (
            "log.csv",
            (",".join(LogFile.COLUMNS) + "\nepoch,x" + 10 * "," + "\n").encode(),
            "invalid",
        ),
        ("log.csv", (",".join(LogFile.COLUMNS) + "\nepoch,1\n").encode(), "row 1 has other"),
        ("log.jsonl", b"{}\n", "row 1 has other columns"),
        ("log.jsonl", b"3\n", "'int' object"),
        ("log.jsonl", b"x\n", "Expecting value"),
    ],
)
def test_a_log_of_something_else_is_named(
    name: str, content: bytes, reason: str, tmp_path: Path
) -> None:
    """The error names the file, and the file stays unchanged."""
    log = tmp_path / name
    trainer(run=tmp_path / "run", handlers=[LogFile(log)]).fit(digits(20), epochs=1)
    log.write_bytes(content)
    message = (
        rf"^{log} is not the log of this run, so LogFile cannot continue it \({reason}.*\): move it"
    )
    with pytest.raises(ValueError, match=message):
        trainer(run=tmp_path / "run", handlers=[LogFile(log)]).fit(
            digits(20), epochs=2, resume=True
        )
    assert log.read_bytes() == content
