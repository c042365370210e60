"""Fixtures: the instruction set, the number of threads, reproducible randomness, MNIST."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import byhand
import numpy as np
import pytest
from byhand._core import testing


@pytest.fixture(params=testing.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that is built and that this machine runs; the one before comes back."""
    before = testing.isa()
    testing.set_isa(request.param)
    yield request.param
    testing.set_isa(before)


@pytest.fixture(params=[1, 3], ids=lambda n: f"{n}-threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with byhand.num_threads(request.param):
        yield request.param


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Seeded by the test's name and parameters: failures come back, no two tests share data."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture(scope="session")
def mnist() -> Any:
    """(train, test) by the product's own fetch; skips, with the reason, where it fails."""
    try:
        return byhand.data.mnist()
    except OSError as error:
        pytest.skip(f"MNIST cannot be had here: {error}")
