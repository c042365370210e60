"""Support for tests of the command line: run it in this process, on a tiny data set like MNIST."""

from __future__ import annotations

import json
import re
import struct
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from byhand.cli.app import app
from byhand.data import Dataset
from typer.testing import CliRunner

Sets = tuple[Dataset, Dataset]
Result = Any  # of CliRunner.invoke: its module is not public


def run(*arguments: object, code: int = 0, curves: bool = False) -> Result:
    """Run a command in this process.

    By default no curves are drawn, which would take longer than training on so few images.
    """
    drawing = nullcontext() if curves else mock.patch("byhand.cli.train.draw_curves")
    with drawing:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def only_line(result: Result) -> str:
    """Return stderr, which must be one line that begins with `byhand: `."""
    stderr = str(result.stderr)
    assert re.fullmatch(r"byhand: [^\n]+\n", stderr), stderr
    return stderr


def read_config(run_folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((run_folder / "config.json").read_text())
    return config


def read_metrics(run_folder: Path) -> list[dict[str, Any]]:
    """Return one dictionary per epoch."""
    return [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]


def make_sets(train: int, test: int) -> Sets:
    """Make 28 x 28 images of noise. In images of class k, rows 2k + 4 and 2k + 5 are bright."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 10, train + test).astype(np.uint8)
    images = rng.integers(0, 60, (train + test, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 4 : 2 * label + 6] += 190
    data = Dataset(images, labels)
    return data.split(train)


def write_folder(folder: Path, sets: Sets) -> Path:
    """Write the four IDX files of a data set."""
    folder.mkdir(exist_ok=True)
    for part, data in zip(("train", "t10k"), sets, strict=True):
        for kind, array in (("images-idx3", data.images), ("labels-idx1", data.labels)):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (folder / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder
