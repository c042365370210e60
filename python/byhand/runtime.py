"""The number of threads, kept memory, and a report of what byhand uses on this machine."""

import contextlib
from collections.abc import Iterator
from typing import Any

from byhand import cuda
from byhand._core import config, get_num_threads, release_memory, set_num_threads

__all__ = [
    "config",
    "get_num_threads",
    "num_threads",
    "release_memory",
    "set_num_threads",
    "show_config",
]


@contextlib.contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use another number of threads inside a with statement.

    For example, `with byhand.num_threads(1): ...` runs kernels on one thread. At the end of the
    statement, the old number of threads is restored.

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
    """Print the version, the compiler, the instruction sets, the number of threads and the GPU."""
    c = config()
    print(f"byhand            {c['version']}, built by {c['compiler']}")
    for isa in c["instruction_sets"]:
        print(f"{isa['name']:17} {_state(isa)}")
    threads, running = c["threads"], c["running_threads"]
    asked = f"; {threads} were asked for" if threads > running else ""
    print(f"threads           {running} of {c['usable_cpus']} usable processors{asked}")
    print(f"cuda              {_gpu()}")


def _gpu() -> str:
    """Return the name of the GPU and the memory in use, or why byhand cannot use one."""
    if reason := cuda.why_not():
        return reason
    try:
        used, total = (size / 2**30 for size in cuda.memory())
        return f"{cuda.device_name()}, {used:.1f} of {total:.1f} GiB in use"
    except RuntimeError as error:  # the GPU was lost after byhand had found it
        return str(error)


def _state(isa: dict[str, Any]) -> str:
    """Describe whether this CPU runs an instruction set of this build, and kernels use it.

    The instruction set `lanes16` imitates the lanes and masks of AVX-512 in C++, so that tests can
    run the kernels for AVX-512 on other CPUs, too.
    """
    if not isa["runs_here"]:
        tested = "an imitation in plain C++" if isa["tested"] == "geometry" else "no part of it"
        return f"built, but this CPU lacks it: tests here run {tested}"
    state = "an imitation of avx512, for tests" if isa["for_tests"] else "built, runs here"
    return f"{state}, active" if isa["active"] else state
