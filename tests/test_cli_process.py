"""The command line as a process of its own: signals, a terminal, a full disk."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from byhand.checkpoint import read_tensors
from byhand.models import load
from byhand.run_folder import RunFolder
from cli_support import make_sets, read_metrics, write_folder

# A shell that runs tests in the background has children ignore SIGINT.
MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from byhand.cli import main
main()
"""
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), make_sets(train=300, test=100))


def command(*arguments: object, code: str = MAIN) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def fails_with_a_line(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(r"byhand: [^\n]+\n", done.stderr), done.stderr
    for part in parts:
        assert part in done.stderr


def test_ctrl_c_keeps_the_last_whole_epoch(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ("train", "softmax", "--data", folder, "--out", out, "--epochs", 1_000_000)
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        # The lines are flushed: the third epoch's row is seen while the training runs.
        while not (line := process.stdout.readline()).startswith("    3  "):
            assert line, process.stderr.read()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    found = re.fullmatch(r"byhand: interrupted: (.+) keeps epoch (\d+), [^\n]+\n", error)
    assert found is not None and found[1] == str(out), error
    kept = int(found[2])
    assert kept >= 3
    run = RunFolder(out)
    _, state = read_tensors(run.state_path)
    # Ctrl-C may fall between the files of an epoch, the last of which commits it, and its row.
    assert kept <= state["epoch"] <= len(read_metrics(out)) <= kept + 1
    load(run.model_path)
    load(run.best_path)
    assert not list(out.glob(".*"))


def test_ctrl_c_in_the_first_epoch(folder: Path, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", make_sets(train=20_000, test=10))
    out = tmp_path / "run"
    arguments = ("train", "lenet5", "--data", data, "--out", out, "--batch-size", 8)
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        while not (line := process.stdout.readline()).startswith("epoch"):
            assert line, process.stderr.read()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == "byhand: interrupted: no epoch was finished, so there is no model\n"
    assert [path.name for path in out.iterdir()] == ["config.json"]


def test_a_run_folder_that_cannot_be_made(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        done = subprocess.run(
            command("train", "softmax", "--data", folder, "--out", out),
            capture_output=True,
            text=True,
        )
        fails_with_a_line(done, str(out))
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("limit", "file", "left"),
    [
        (100, "config.json", []),
        (16_000, "model.safetensors", ["config.json"]),
        (50_000, "state.safetensors", ["config.json"]),
    ],
)
def test_a_full_disk(limit: int, file: str, left: list[str], folder: Path, tmp_path: Path) -> None:
    """By a limit on the size of files: softmax's weights are 31,400 bytes, its state twice that."""
    out = tmp_path / "run"
    done = subprocess.run(
        command(
            *("train", "softmax", "--data", folder, "--out", out),
            code=LIMITED.format(limit) + MAIN,
        ),
        capture_output=True,
        text=True,
    )
    fails_with_a_line(done, str(out / file), "could not write")
    assert sorted(path.name for path in out.iterdir()) == left


def test_full_disk_under_stdout(folder: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(command("info"), stdout=full, stderr=subprocess.PIPE, text=True)
    fails_with_a_line(done, "No space left")


@pytest.mark.slow
def test_on_a_terminal_a_bar_moves_below_the_table(folder: Path, tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    arguments = ("train", "softmax", "--data", folder, "--out", tmp_path / "run", "--epochs", 100)
    # The bar moves ten times a second, so there must be a few tenths of a second of training.
    with subprocess.Popen(command(*arguments), stdout=terminal, env=environment) as process:
        os.close(terminal)
        shown = b""
        # Reading fails once the other end is closed.
        with contextlib.suppress(OSError):
            while part := os.read(master, 4096):
                shown += part
    os.close(master)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.decode())
    assert "\x1b[" in shown.decode()
    assert re.search(r"epoch \d+/100 .*images/s  loss \d", text)
    lines = re.split(r"[\r\n]+ *", text.strip())
    rows = [line.split()[0] for line in lines if line.count(" %") == 2]
    assert rows == [str(epoch) for epoch in range(1, 101)]
    assert lines[-1].startswith("Now try: byhand predict")


def test_a_reader_that_leaves_early_is_no_error(folder: Path, tmp_path: Path) -> None:
    """As `byhand train ... | head -1`."""
    arguments = ("train", "softmax", "--data", folder, "--out", tmp_path / "run")
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
