"""tools/draw_pictures.py draws every picture of the pages, with the same bytes each time."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from byhand import models
from byhand.data import Dataset
from byhand.training import EpochEnd

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
DRAWN_BY_OTHERS = {
    "demo.png",
    "ladder_gemm.svg",
    "ladder_conv2d.svg",
    *(
        f"sweep_{family}_{isa}_intel.png"
        for family in ("gemm", "conv2d", "pool2d", "batch_norm", "softmax")
        for isa in ("avx2", "avx512")
    ),
}
"""Pictures that need a browser (tools/draw_demo.py) or measured figures (byhand ladder,
tools/sweep_page.py)."""


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "draw_pictures", ROOT / "tools" / "draw_pictures.py"
    )
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn(module: ModuleType) -> dict[str, bytes]:
    """Draw the pictures with untrained networks and random images."""
    networks = {
        "softmax": models.softmax_regression(),
        "mlp": models.mlp(),
        "lenet5": models.lenet5(),
    }
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (500, 28, 28), dtype=np.uint8)
    test = Dataset(images, rng.integers(0, 10, 500, dtype=np.uint8))
    history = [EpochEnd(1, 1, 0.5, 0.1, 0.4, 0.9, 0.01, 1.0, 500.0, True)]
    pictures: dict[str, bytes] = module.all_pictures(
        networks, dict.fromkeys(networks, history), test
    )
    return pictures


@pytest.mark.slow
def test_same_bytes_each_time() -> None:
    module = script()
    first, second = drawn(module), drawn(module)
    assert first == second
    others = {path.name for path in PICTURES.iterdir()} - set(first)
    assert others <= DRAWN_BY_OTHERS
    for name, content in first.items():
        assert content.startswith(b"<svg" if name.endswith(".svg") else b"\x89PNG"), name


def test_pictures_are_small() -> None:
    for path in PICTURES.iterdir():
        assert path.stat().st_size < 60_000, path.name


def test_every_picture_of_a_page_exists() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    shown = 0
    for page in pages:
        for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text()):
            assert (page.parent / target).is_file(), f"{page.name} shows {target}"
            shown += 1
    assert shown
