"""The programs of docs/several_machines.md run, with mpirun and with a Dask cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import byhand
import pytest
from byhand.checks import is_installed
from cli_support import make_sets, write_folder
from mpi_support import mpirun
from sybil.document import Document
from sybil.parsers.markdown import PythonCodeBlockParser

PAGE = Path(__file__).parents[1] / "docs" / "several_machines.md"
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def few_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYHAND_DATA", str(write_folder(tmp_path / "data", make_sets(2000, 100))))
    # PYTHONPATH may be relative to the folder from which the test started.
    monkeypatch.setenv("PYTHONPATH", str(Path(byhand.__file__).parents[1]))
    monkeypatch.chdir(tmp_path)


def programs() -> list[str]:
    return [str(e.parsed) for e in Document.parse(str(PAGE), PythonCodeBlockParser()).examples()]


def test_training_in_two_processes() -> None:
    program, _ = programs()
    done = mpirun(2, program + "print('processes', mpi.world().size, model.trained['epoch'])")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("processes 2 1") == 2, done.stdout


def test_a_search_with_dask() -> None:
    for package in ("sklearn", "distributed"):
        if not is_installed(package):
            pytest.skip(f"{package} is not installed")
    Path("search.py").write_text(programs()[1])
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [sys.executable, "search.py"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{'hidden_layer_sizes': ("), done.stdout + done.stderr
