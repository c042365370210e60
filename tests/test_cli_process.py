"""The command line as a separate process: signals, a terminal, a full disk."""

from __future__ import annotations

import ast
import contextlib
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import byhand
import pytest
from byhand import Trainer, models, optim
from byhand.files.tensors import read_tensors
from byhand.models import load
from byhand.training.run_folder import RunFolder
from cli_support import make_sets, read_metrics, write_folder

pytestmark = pytest.mark.slow  # every test starts at least one process

# If a shell runs the tests in the background, their processes ignore SIGINT. Under nohup they
# ignore SIGHUP.
MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
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
        # Each line is flushed, so the row of the third epoch arrives during the training.
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
    # Ctrl-C may come between two files of an epoch, of which the last one commits the epoch, or
    # before the row of the epoch is printed.
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
    for name, code in (("file", 2), ("file/run", 1)):
        done = subprocess.run(
            command("train", "softmax", "--data", folder, "--out", tmp_path / name),
            capture_output=True,
            text=True,
        )
        assert done.returncode == code and done.stdout == ""
        assert str(tmp_path / name) in done.stderr.splitlines()[-1]
    fails_with_a_line(done)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize(
    ("limit", "file", "left"),
    [
        (100, "config.json", []),
        (16_000, "model.safetensors", ["config.json"]),
        (50_000, "state.safetensors", ["config.json"]),
    ],
)
def test_a_full_disk(limit: int, file: str, left: list[str], folder: Path, tmp_path: Path) -> None:
    """The system limits the size of files.

    The weights of softmax regression are 31,400 bytes, and its state is twice as large.
    """
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


@pytest.mark.parametrize("words", ["info", "--help", "--version", "train --help", "train softmax"])
def test_full_disk_under_stdout(words: str, folder: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(*words.split()),
            env={**os.environ, "BYHAND_DATA": str(folder), "PYTHONUNBUFFERED": ""},
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    fails_with_a_line(done, "byhand: standard output: No space left on device\n")


def test_on_a_terminal_a_bar_moves_below_the_table(folder: Path, tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    arguments = ("train", "softmax", "--data", folder, "--out", tmp_path / "run", "--epochs", 100)
    # The bar moves ten times a second, so there must be a few tenths of a second of training.
    with subprocess.Popen(command(*arguments), stdout=terminal, env=environment) as process:
        os.close(terminal)
        shown = b""
        # Reading fails when the other end of the terminal is closed.
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
    """The reader closes the pipe early, as in `byhand train ... | head -1`."""
    arguments = ("train", "softmax", "--data", folder, "--out", tmp_path / "run")
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def shell(line: str, *, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell in which `byhand` is a command."""
    definition = f'byhand() {{ {shlex.join(command())} "$@"; }}\n'
    return subprocess.run(
        ["bash", "-c", definition + line],
        env={**os.environ, "BYHAND_DATA": str(folder), **environment},
        capture_output=True,
        text=True,
    )


def test_errors_are_seen_where_stderr_is_closed(folder: Path, tmp_path: Path) -> None:
    done = shell(f"byhand evaluate {tmp_path}/nosuch 2>&-", folder=folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"byhand: {tmp_path}/nosuch does not exist; ")
    done = shell(f"byhand data draw-examples {tmp_path}/drawings 2>&-", folder=folder)
    assert (done.returncode, done.stdout) == (0, f"ten drawings are in {tmp_path}/drawings\n")
    train = f"byhand train softmax --epochs 1 --out {tmp_path}/run"
    done = shell(f"{train} 2>&-", folder=folder)
    assert done.returncode == 0 and "Now try: byhand predict" in done.stdout


def test_a_command_works_without_any_stream(folder: Path, tmp_path: Path) -> None:
    """All standard streams are closed, and the command still writes correct files.

    A file that is opened must not get the number of a closed stream, because printed text would
    then go into it.
    """
    train = f"byhand train softmax --epochs 2 --out {tmp_path}/run"
    done = shell(f"{train} >&- <&-", folder=folder)
    assert done.returncode == 0
    assert done.stderr == "byhand: standard output is closed: results are not shown\n"
    again = f"byhand train softmax --epochs 2 --out {tmp_path}/again"
    assert shell(f"{again} >&- 2>&- <&-", folder=folder).returncode == 0
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    models = [tmp_path / run / "model.safetensors" for run in ("run", "again")]
    assert models[0].read_bytes() == models[1].read_bytes()


def on_a_terminal(*arguments: object, columns: int, **environment: str) -> tuple[int, str]:
    """Return the exit code of the command and all the text that it shows."""
    master, terminal = pty.openpty()
    with subprocess.Popen(
        command(*arguments),
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": str(columns), **environment},
    ) as process:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # reading fails when the other end is closed
            while part := os.read(master, 4096):
                shown += part
    os.close(master)
    return process.returncode, shown.decode("latin-1")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_that_lacks_letters(encoding: str, folder: Path, tmp_path: Path) -> None:
    """The terminal cannot show all letters.

    It is also so narrow that rich shortens the texts of the bar and shows this by a letter that the
    terminal lacks.
    """
    arguments = (
        "train",
        "softmax",
        "--data",
        folder,
        "--epochs",
        30,
        "--out",
        tmp_path / "zahl 数",
    )
    code, shown = on_a_terminal(*arguments, columns=40, PYTHONIOENCODING=encoding)
    assert code == 0, shown
    assert "Traceback" not in shown and "\\u6570" in shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_end_training_in_order(
    number: signal.Signals, folder: Path, tmp_path: Path
) -> None:
    """The command shows the cursor again, and says what the run folder keeps."""
    master, terminal = pty.openpty()
    arguments = ("train", "softmax", "--data", folder, "--out", tmp_path / "run")
    with subprocess.Popen(
        command(*arguments, "--epochs", 1_000_000),
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(terminal)
        shown = b""
        sent = False
        with contextlib.suppress(OSError):
            while part := os.read(master, 4096):
                shown += part
                if not sent and b"\x1b[?25l" in shown and b"    3  " in shown:
                    process.send_signal(number)
                    sent = True
    os.close(master)
    assert process.returncode == 128 + number
    text = shown.decode()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "interrupted: " in text and "keeps epoch" in text and "Traceback" not in text
    assert not list((tmp_path / "run").glob(".*"))


# A program that sends itself a signal when a given module is imported.
EARLY = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
sys.argv[0] = "/usr/bin/byhand"
from byhand.cli import main
main()
"""


@pytest.mark.parametrize(
    ("module", "number"),
    [
        ("numpy", signal.SIGINT),
        ("byhand.nn", signal.SIGINT),
        ("typer", signal.SIGINT),
        ("byhand.cli.train", signal.SIGINT),
        ("byhand.cli.train", signal.SIGTERM),
        ("PIL", signal.SIGINT),
    ],
)
def test_a_signal_during_imports(module: str, number: signal.Signals, tmp_path: Path) -> None:
    code = EARLY.format(module=module, number=int(number))
    done = subprocess.run(
        command("data", "draw-examples", tmp_path, code=code), capture_output=True, text=True
    )
    assert done.returncode == 128 + number
    assert done.stderr == "byhand: interrupted\n"


def test_python_m_byhand() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "byhand", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("Usage: byhand ")


@pytest.mark.parametrize(
    ("name", "value"), [("BYHAND_ISA", "avx9"), ("BYHAND_NUM_THREADS", "many")]
)
def test_variables_that_cannot_be(name: str, value: str) -> None:
    """`python -m byhand` reports a bad variable in one line. The command `byhand` does the same."""
    done = subprocess.run(
        [sys.executable, "-m", "byhand", "info"],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"byhand: environment variable {name} must be ")
    assert done.stderr.count("\n") == 1 and f'got "{value}"' in done.stderr


def test_without_a_home(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "BYHAND_DATA")}
    environment["PYTHONPATH"] = str(Path(byhand.__path__[0]).parent)
    done = subprocess.run(
        command("info"), env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


NO_HOME = """
import os, pwd

def unknown(number):
    raise KeyError(number)

os.environ.pop("HOME", None)
pwd.getpwuid = unknown
"""


@pytest.mark.parametrize("arguments", [["data", "fetch"], ["train", "softmax"], ["data", "show"]])
def test_a_user_without_a_home_folder(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may have no entry for its user. Then there is no folder for the cache."""
    for name in ("BYHAND_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(command(*arguments, code=NO_HOME + MAIN), capture_output=True, text=True)
    fails_with_a_line(done, "no home folder", "HOME", "--data", "BYHAND_DATA")
    info = subprocess.run(command("info", code=NO_HOME + MAIN), capture_output=True, text=True)
    assert info.returncode == 0 and "no home folder" in info.stdout and "numpy" in info.stdout
    assert {path.name for path in tmp_path.iterdir()} <= {"matplotlib"}


DYING = """
import os, signal
from typer.core import TyperGroup

make_context = TyperGroup.make_context

def dying(self, *arguments, **named):
    os.kill(os.getpid(), {0})
    return make_context(self, *arguments, **named)

TyperGroup.make_context = dying
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_while_options_are_read_has_its_exit_code(number: signal.Signals) -> None:
    code = DYING.format(int(number)) + MAIN
    done = subprocess.run(command("info", code=code), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (128 + number, "")
    assert "Traceback" not in done.stderr


def test_the_header_fits_a_terminal(folder: Path, tmp_path: Path) -> None:
    arguments = ("train", "softmax", "--data", folder, "--epochs", 1, "--out", tmp_path / "run")
    code, shown = on_a_terminal(*arguments, columns=60)
    assert code == 0
    header = re.split(r"[\r\n]+", shown)
    start = next(i for i, line in enumerate(header) if line.startswith("         SGD"))
    assert header[start + 1].startswith("         ") and "decay" in header[start + 1]
    assert all(len(line) < 60 for line in header[start : start + 2])


HEAVY = ("matplotlib", "PIL", "scipy", "torch", "sklearn", "onnx", "starlette", "byhand.bench")


@pytest.mark.parametrize(
    ("words", "needs", "code"),
    [
        ("", (), 0),
        ("info", (), 0),
        ("info {run}", (), 0),
        ("evaluate {run} --data {data}", (), 0),
        ("predict {run} --test-image 3 --data {data}", (), 0),
        ("data describe {data}/t10k-labels-idx1-ubyte", (), 0),
        ("train softmax --epochs 1 --out {new}", ("matplotlib", "PIL"), 0),  # draws the curves
        ("plot {run} --out {new}.png", ("matplotlib", "PIL"), 0),
        ("predict {run} {new}.png", ("PIL", "scipy"), 1),  # there is no such picture
    ],
)
def test_heavy_packages_are_imported_only_if_needed(
    words: str, needs: tuple[str, ...], code: int, folder: Path, tmp_path: Path
) -> None:
    new, run = tmp_path / "new", tmp_path / "run"
    softmax = models.softmax_regression()
    Trainer(softmax, optim.SGD(softmax.parameters(), lr=0.1), run=run).fit(
        make_sets(train=20, test=10)[0], epochs=1, validation=make_sets(train=20, test=10)[1]
    )
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print([m for m in {HEAVY} if m in sys.modules]))\n" + MAIN
    )
    done = subprocess.run(
        command(*words.format(run=run, new=new, data=folder).split(), code=program),
        env={**os.environ, "BYHAND_DATA": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert set(ast.literal_eval(done.stdout.splitlines()[-1])) <= set(needs), done.stderr
