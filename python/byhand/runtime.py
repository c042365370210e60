"""Threads and what runs here."""

import contextlib
from collections.abc import Iterator
from typing import Any

from byhand._core import config, get_num_threads, set_num_threads

__all__ = ["config", "get_num_threads", "num_threads", "set_num_threads", "show_config"]


@contextlib.contextmanager
def num_threads(n: int) -> Iterator[None]:
    """`with byhand.num_threads(n): ...` uses n threads inside, 1 to 256, and as before after it."""
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def show_config() -> None:
    """Prints the version, the instruction sets, the threads and the compiler."""
    c = config()
    print(f"byhand            {c['version']}, built by {c['compiler']}")
    for isa in c["instruction_sets"]:
        print(f"{isa['name']:17} {_state(isa)}")
    threads, running = c["threads"], c["running_threads"]
    asked = f"; {threads} were asked for" if threads > running else ""
    print(f"threads           {running} of {c['usable_cpus']} usable processors{asked}")


def _state(isa: dict[str, Any]) -> str:
    if not isa["built"]:
        return "not in this build"
    if not isa["runs_here"]:
        tested = "its geometry in plain code" if isa["tested"] == "geometry" else "nothing of it"
        return f"built, but this CPU lacks it: tests here run {tested}"
    state = "for tests, avx512's geometry in plain code" if isa["for_tests"] else "built, runs here"
    return f"{state}, active" if isa["active"] else state
