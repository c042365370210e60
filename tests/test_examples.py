"""Each example runs unchanged in its own folder, on a small data set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import make_sets, write_folder

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))

# The beginning of the last line that each example prints.
LAST_LINE = {
    "by_hand_kernels": "test accuracy ",
    "by_hand_layers": "test accuracy ",
    "custom_layer": "test accuracy ",
    "custom_loss": "test accuracy ",
    "gradient_check": "4.bias ",
    "own_data": " ",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), make_sets(1000, 200))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "BYHAND_DATA": str(folder)}
    run = subprocess.run(
        [sys.executable, path], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1].startswith(LAST_LINE[path.stem])


def test_each_fits_a_page() -> None:
    assert len(EXAMPLES) >= 6
    for path in EXAMPLES:
        text = path.read_text()
        assert len(text.splitlines()) <= 60, path.name
        assert text.startswith('"""')
