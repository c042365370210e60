"""Support for tests of the benchmarks: a contender that a test defines, and a training task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand.bench import peers
from byhand.bench.tasks import Task


def only_peer(name: str, source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make byhand and `name` the only contenders.

    `source` has the Peer of `name`. It is written to `folder`.
    """
    module = f"{name}_peer"
    (folder / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    contender = peers.Contender(name, module, ("numpy",))
    monkeypatch.setattr(peers, "CONTENDERS", [*peers.CONTENDERS[:1], contender])


def random_task(model: str, count: int, folder: Path, **options: Any) -> Task:
    """Return the task to train on `count` random images, which are written to `folder`."""
    rng = np.random.default_rng(0)
    images, labels = folder / "images", folder / "labels"
    rng.integers(0, 256, (count, 28, 28), np.uint8).tofile(images)
    rng.integers(0, 10, count).tofile(labels)
    return Task(model, "tanh", str(images), str(labels), count=count, **options)
