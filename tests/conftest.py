"""Fixtures: the instruction set, the number of threads, reproducible randomness, MNIST.

There are two tiers of tests. `pytest` runs all tests. `pytest -m quick` runs those that a
contributor needs between edits.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

# This must be set before NumPy is imported. The reference multiplies small matrices. A second
# thread of OpenBLAS would make these products slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import byhand
import devices
import numpy as np
import pytest
from byhand._core import testing

# byhand runs at most one thread per processor. With this higher limit, tests with three threads do
# use three on a machine with two processors.
testing.set_thread_limit(256)


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests as `quick` that are not slow, on one instruction set and with 3 threads.

    A new test is quick unless it is marked `slow`, which is right if it takes more than half
    a second. A test that needs MNIST or PyTorch is slow in any case, because the
    first such test downloads MNIST or imports PyTorch, which takes seconds.
    """
    items[:] = [item for item in items if not _is_repeated(item)]
    in_use = {"isa": testing.isa(), "device": testing.isa(), "cuda": None, "threads": 3}
    for item in items:
        assert isinstance(item, pytest.Function)
        slow = item.get_closest_marker("slow") or {"mnist", "torch"} & set(item.fixturenames)
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if not slow and all(parameters.get(key, value) == value for key, value in in_use.items()):
            item.add_marker("quick")


def _is_repeated(item: pytest.Item) -> bool:
    """Return whether the test differs from another one only in threads, and runs on CUDA.

    The kernels of CUDA do not use the threads of the CPU.
    """
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return parameters.get("device") in devices.SCHEDULES and parameters.get("threads", 1) != 1


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Warn if the quick tests take more than a minute on two processors."""
    seconds = sum(os.times()[:4])  # processor time of this process and of finished subprocesses
    if config.option.markexpr == "quick" and seconds > 120:
        terminalreporter.write_line(
            f"The quick tests took {seconds:.0f} s of processor time, and should take at most 120. "
            "Mark the slowest of them as slow: --durations=20 shows them.",
            yellow=True,
        )


@pytest.fixture(params=testing.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test once per instruction set that is built and runs here. Then restore the old one."""
    before = testing.isa()
    testing.set_isa(request.param)
    yield request.param
    testing.set_isa(before)


@pytest.fixture(params=devices.DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test once per device: each instruction set, and CUDA with each schedule."""
    with devices.used(request.param):
        yield request.param


@pytest.fixture(params=devices.SCHEDULES)
def cuda(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test on CUDA only, with each schedule."""
    with devices.used(request.param):
        yield request.param


@pytest.fixture
def cuda_module() -> ModuleType:
    """The module of CUDA, or the emulated one. No bad label of an earlier test waits there."""
    module = devices.cuda_module()
    byhand.asarray(0, "cuda").to("cpu")
    return module


@pytest.fixture(params=["test", pytest.param("cuda", marks=pytest.mark.slow)])
def where(request: pytest.FixtureRequest) -> str:
    """The name of a device other than the CPU: one without operators, and CUDA."""
    if request.param == "cuda":
        request.getfixturevalue("cuda_module")
    return str(request.param)


@pytest.fixture(params=[1, 3], ids=lambda n: f"{n}-threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with byhand.num_threads(request.param):
        yield request.param


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded by the test's name and parameters, so that failures are reproducible."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture(scope="session")
def torch() -> Any:
    return pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")


@pytest.fixture(scope="session")
def mnist() -> Any:
    """MNIST as (train, test), downloaded by byhand. If that fails, the test is skipped."""
    try:
        return byhand.data.mnist()
    except OSError as error:
        pytest.skip(f"MNIST cannot be had here: {error}")


@pytest.fixture(scope="module")  # until it ends, asyncio.run fails in this process
def browser() -> Iterator[Any]:
    """Chromium without a window. It needs Debian's package chromium, and playwright from PyPI."""
    reason = "the page is tested in Chromium by Playwright, which are not installed"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip(f"{reason}: apt-get install chromium")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has no sandbox
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=options)
        yield opened
        opened.close()
