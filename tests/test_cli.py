"""`byhand data`, `info` and `bench`; help, versions, and the error if an extra is missing."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import byhand
import numpy as np
import pytest
import typer
from byhand import cli
from byhand.data import FetchError
from byhand.models import softmax_regression
from cli_support import make_sets, only_line, run, write_folder
from PIL import Image

SETS = make_sets(train=300, test=100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), SETS)


def test_data_show(folder: Path, tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("1.png", "2.png", "3.png"))
    for path, seed in ((first, 1), (again, 1), (other, 2)):
        result = run("data", "show", "--data", folder, "--out", path, "--seed", seed)
        assert str(path) in result.stdout
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    with Image.open(first, formats=["PNG"]) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert min(pixels.shape) > 200
    # The noise of the images has many grey levels. A sheet without them would have few.
    assert len(np.unique(pixels)) > 50


def test_data_show_of_few_images(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", make_sets(train=3, test=1))
    out = tmp_path / "digits.png"
    assert "3 of 3" in run("data", "show", "--data", data, "--out", out).stdout
    assert out.read_bytes().startswith(b"\x89PNG")


def test_data_show_writes_png_alone(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "digits.jpg"
    assert ".png" in run("data", "show", "--data", folder, "--out", out, code=2).stderr
    assert not out.exists()


def test_data_fetch_shows_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(root: Path, progress: Any) -> Path:
        for name, total in (("images.gz", 2000), ("labels.gz", 100)):
            for done in (0, total // 2, total):
                progress(name, done, total)
        return root

    monkeypatch.setattr("byhand.data.fetch", fetch)
    result = run("data", "fetch", "--data", tmp_path)
    assert str(tmp_path) in result.stdout
    assert result.stderr == (
        "byhand: MNIST is not here yet and is fetched from the web\n"
        "byhand: fetching images.gz, 2,000 bytes\nbyhand: fetching labels.gz, 100 bytes\n"
    )


def test_data_fetch_without_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(root: Path, progress: Any) -> Path:
        raise FetchError("MNIST could not be fetched:\n  here: no answer")

    monkeypatch.setattr("byhand.data.fetch", fetch)
    result = run("data", "fetch", "--data", tmp_path, code=1)
    assert result.stderr.endswith("\nbyhand: MNIST could not be fetched:\n  here: no answer\n")


@pytest.mark.parametrize(
    "command",
    [
        ["train", "softmax"],
        ["evaluate", "MODEL"],
        ["predict", "MODEL", "--test-image", "0"],
        ["data", "show"],
    ],
)
def test_a_named_folder_without_data_is_not_passed_over(
    command: list[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BYHAND_DATA", str(folder))
    softmax_regression().save("MODEL")
    part = write_folder(tmp_path / "a part", SETS)
    (part / "t10k-labels-idx1-ubyte").unlink()
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for data in ("typo", "empty", "a part"):
        result = run(*command, "--data", data, code=1)
        line = only_line(result)
        assert line.startswith(f"byhand: --data: {data} ")
        assert line.endswith(f": byhand data fetch --data {shlex.quote(data)}\n")
        assert result.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_the_folder_of_a_user_who_does_not_exist() -> None:
    for command in (["data", "fetch"], ["train", "softmax"]):
        error = run(*command, "--data", "~nosuch/x", code=2).stderr
        assert "--data" in error and "'~nosuch/x': this user has no home folder." in error


def test_faults_of_byhand_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault() -> None:
        raise ValueError("a fault of byhand")

    monkeypatch.setattr("byhand.show_config", fault)
    assert isinstance(run("info", code=1).exception, ValueError)


def test_info(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("BYHAND_DATA", str(folder))
    printed = run("info").stdout
    for part in (byhand.__version__, "threads", str(folder), f"numpy             {np.__version__}"):
        assert part in printed


def test_version() -> None:
    assert run("--version").stdout == f"byhand {byhand.__version__}\n"


def test_bench_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    got = []
    bench_app = typer.Typer()

    @bench_app.command()
    def kernels(name: str, quick: bool = False) -> None:
        got.append((name, quick))

    @bench_app.command()
    def training() -> None:
        pass

    module = ModuleType("byhand.bench.cli")
    module.app = bench_app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "byhand.bench", ModuleType("byhand.bench"))
    monkeypatch.setitem(sys.modules, "byhand.bench.cli", module)
    run("bench", "kernels", "gemm", "--quick")
    assert got == [("gemm", True)]
    assert "Usage: root bench " in run("bench", "--help").stdout


def test_help_imports_nothing_slow() -> None:
    code = """
import sys
from byhand.cli import main
try:
    main()
except SystemExit as end:
    slow = {"matplotlib", "PIL", "byhand.bench", "urllib.request", "safetensors", "scipy",
        "torch", "sklearn", "onnx", "starlette", "uvicorn"} & set(sys.modules)
    sys.exit(f"imported {slow}" if slow else end.code)
"""
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout


@pytest.mark.parametrize("missing", ["typer", "rich", "PIL", "matplotlib"])
def test_without_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.streams, "prepare", lambda: None)
    monkeypatch.setattr(cli, "is_installed", lambda name: name != missing)
    with pytest.raises(SystemExit, match=r'pip install "byhand\[cli\]"$'):
        cli.main()
