"""Threads, instruction sets, and what this machine runs."""

import contextlib
from collections.abc import Iterator
from typing import Any

from byhand._core import config, get_num_threads, set_num_threads

__all__ = ["config", "get_num_threads", "num_threads", "set_num_threads", "show_config"]


@contextlib.contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use another number of threads inside a with statement.

    `with byhand.num_threads(1): ...` runs kernels on one thread, and restores the number of threads
    afterwards.

    Parameters
    ----------
    n : int
        The number of threads, from 1 to 256.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer from 1 to 256.
    """
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def show_config() -> None:
    """Print the version, the compiler, the instruction sets and the number of threads."""
    c = config()
    print(f"byhand            {c['version']}, built by {c['compiler']}")
    for isa in c["instruction_sets"]:
        print(f"{isa['name']:17} {_state(isa)}")
    threads, running = c["threads"], c["running_threads"]
    asked = f"; {threads} were asked for" if threads > running else ""
    print(f"threads           {running} of {c['usable_cpus']} usable processors{asked}")


def _state(isa: dict[str, Any]) -> str:
    """Describe whether an instruction set is built, runs here, and is in use."""
    if not isa["built"]:
        return "not in this build"
    if not isa["runs_here"]:
        tested = "its geometry in plain code" if isa["tested"] == "geometry" else "nothing of it"
        return f"built, but this CPU lacks it: tests here run {tested}"
    state = "for tests, avx512's geometry in plain code" if isa["for_tests"] else "built, runs here"
    return f"{state}, active" if isa["active"] else state
