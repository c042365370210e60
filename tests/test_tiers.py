"""The quick tests: what `pytest -m quick` selects, and that they cover everything."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from byhand._core import testing

IN_USE = testing.isa()  # before the fixture `isa` changes it
# These files run whole pages and whole processes. Quick tests of other files cover their parts.
WHOLLY_SLOW = {
    "test_bench_memory.py",
    "test_cli_process.py",
    "test_cli_train_choices.py",
    "test_cuda_training.py",
    "test_demo_browser.py",
    "test_kill_runs.py",
    "test_several_machines.py",
    "test_site.py",
    "test_tutorials.py",
}


def is_quick(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("quick") is not None


def test_a_test_is_quick(request: pytest.FixtureRequest) -> None:
    assert is_quick(request)


@pytest.mark.slow
def test_unless_it_is_slow(request: pytest.FixtureRequest) -> None:
    assert not is_quick(request)


def test_beside_pytorch_none_is(torch: Any, request: pytest.FixtureRequest) -> None:
    assert not is_quick(request)


def test_on_the_instruction_set_in_use_alone(isa: str, request: pytest.FixtureRequest) -> None:
    assert is_quick(request) == (isa == IN_USE)


def test_on_3_threads_alone(threads: int, request: pytest.FixtureRequest) -> None:
    assert is_quick(request) == (threads == 3)


def quick_tests(path: Path) -> set[str]:
    """Return the names of the tests of a file that are not slow, by their mark or fixtures."""
    text = path.read_text()
    if "\npytestmark = pytest.mark.slow" in text:
        return set()
    return {
        node.name
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and "pytest.mark.slow" not in map(ast.unparse, node.decorator_list)
        and not {"mnist", "torch"} & {argument.arg for argument in node.args.args}
    }


def test_every_file_has_quick_tests() -> None:
    files = Path(__file__).parent.glob("test_*.py")
    assert {path.name for path in files if not quick_tests(path)} == WHOLLY_SLOW


def test_every_operator_is_tried_on_integers() -> None:
    """The table has a row for each operator (test_every_public_kernel_has_a_row)."""
    quick = quick_tests(Path(__file__).with_name("test_every_kernel.py"))
    assert {"test_every_public_kernel_has_a_row", "test_integers_are_exact"} <= quick
