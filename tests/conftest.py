"""Fixtures: the instruction set, the number of threads, reproducible randomness, MNIST.

And the two tiers of tests: `pytest` runs everything, `pytest -m quick` what a contributor runs
between edits.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import Any

# Before NumPy is imported: the reference multiplies small matrices, for which a second thread of
# OpenBLAS costs more than it does.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import byhand
import numpy as np
import pytest
from byhand._core import testing

# Three threads are three threads on a machine with two processors, too.
testing.set_thread_limit(256)


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `quick` what is not slow, on the instruction set in use and on 3 threads alone.

    A new test is quick unless it is marked `slow`, which a test should be if it takes more than
    half a second. A test that needs MNIST itself or PyTorch is slow in any case: the first one
    downloads or imports it, which takes seconds.
    """
    in_use = {"isa": testing.isa(), "threads": 3}
    for item in items:
        assert isinstance(item, pytest.Function)
        slow = item.get_closest_marker("slow") or {"mnist", "torch"} & set(item.fixturenames)
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if not slow and all(parameters.get(key, value) == value for key, value in in_use.items()):
            item.add_marker("quick")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say so if the quick tests have outgrown their minute on two processors."""
    seconds = sum(os.times()[:4])  # of the processor, that of finished subprocesses included
    if config.option.markexpr == "quick" and seconds > 120:
        terminalreporter.write_line(
            f"The quick tests took {seconds:.0f} s of processor time, and should take at most 120. "
            "Mark the slowest of them as slow: --durations=20 shows them.",
            yellow=True,
        )


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
def torch() -> Any:
    return pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")


@pytest.fixture(scope="session")
def mnist() -> Any:
    """(train, test) by the product's own fetch; skips, with the reason, where it fails."""
    try:
        return byhand.data.mnist()
    except OSError as error:
        pytest.skip(f"MNIST cannot be had here: {error}")
