"""The thread pool: how many threads it has, who decides this, and what it must survive."""

import functools
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import byhand
import numpy as np
import pytest
from byhand import kernels
from byhand._core import testing


def run(code: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    drop = ("BYHAND_NUM_THREADS", "OMP_NUM_THREADS", "BYHAND_ISA")
    env = {k: v for k, v in os.environ.items() if k not in drop} | environment
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, env=env
    )


def product(n: int = 256) -> np.ndarray:
    a = np.arange(n * n, dtype=np.float32).reshape(n, n) % 7
    return kernels.gemm(a, a)


SHOW = "import byhand; print(byhand.get_num_threads())"


def test_default_is_the_affinity_mask() -> None:
    cpus = os.sched_getaffinity(0)
    assert 1 <= int(run(SHOW).stdout) <= len(cpus)
    one = f"import os; os.sched_setaffinity(0, {{{min(cpus)}}}); {SHOW}"
    assert run(one).stdout.strip() == "1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"BYHAND_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": " 4 "}, 4),
        ({"OMP_NUM_THREADS": "384"}, 256),  # the variable is meant for another library, too
        ({"OMP_NUM_THREADS": "99999999999999"}, 256),
        ({"BYHAND_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"BYHAND_NUM_THREADS": "3", "OMP_NUM_THREADS": "auto"}, 3),
    ],
)
def test_environment_sets_the_number(environment: dict[str, str], threads: int) -> None:
    assert run(SHOW, **environment).stdout.strip() == str(threads)


@pytest.mark.slow
@pytest.mark.parametrize(
    "value", ["0", "-1", "two", "2.5", "257", "99999999999999", "2 ", " ", "4,2", "auto"]
)
def test_impossible_number_in_our_variable_is_an_error(value: str) -> None:
    result = run("import byhand", BYHAND_NUM_THREADS=value)
    assert result.returncode != 0
    assert (
        f'BYHAND_NUM_THREADS must be a whole number from 1 to 256, got "{value}"' in result.stderr
    )


def test_the_command_line_says_it_without_a_traceback() -> None:
    for name, value in (("BYHAND_NUM_THREADS", "two"), ("BYHAND_ISA", "sse9")):
        code = "import sys; sys.argv[0] = '/usr/bin/byhand'; import byhand"
        result = run(code, **{name: value})
        assert result.returncode == 1
        assert re.fullmatch(
            rf'byhand: environment variable {name} .* got "{value}".*\n', result.stderr
        )


@functools.cache
def default_number() -> str:
    return run(SHOW).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "value", ["auto", "0", "-1", "2.5", "", " ", ",", "two,2", "-99999999999", "4 2"]
)
def test_what_another_library_may_read_is_ignored(value: str) -> None:
    """Other variables of OpenMP are not read."""
    result = run(SHOW, OMP_NUM_THREADS=value, OMP_THREAD_LIMIT="x", OMP_SCHEDULE="x")
    assert result.returncode == 0, result.stderr
    assert result.stdout == default_number()


@pytest.mark.parametrize("n", [0, -1, 257, 2**31, 2**63, 2**64])
def test_set_num_threads_refuses(n: int) -> None:
    before = byhand.get_num_threads()
    with pytest.raises(ValueError, match=rf"n must .* got {n}"):
        byhand.set_num_threads(n)
    assert byhand.get_num_threads() == before


@pytest.mark.parametrize("n", [None, "2", 2.0])
def test_set_num_threads_takes_integers_only(n: object) -> None:
    with pytest.raises(TypeError, match="n must be an integer"):
        byhand.set_num_threads(n)  # type: ignore[arg-type]


def test_num_threads_restores_after_an_exception() -> None:
    before = byhand.get_num_threads()
    with pytest.raises(KeyError), byhand.num_threads(before + 1):
        assert byhand.get_num_threads() == before + 1
        raise KeyError
    assert byhand.get_num_threads() == before


def test_calls_from_several_python_threads() -> None:
    expected = product()
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(30):
            if not np.array_equal(product(), expected):
                wrong.append(i)

    with byhand.num_threads(3):
        workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
            assert not worker.is_alive()
    assert wrong == []


FORK = """
import os, sys, numpy as np, byhand
from byhand import kernels
byhand.set_num_threads(3)
a = np.ones((256, 256), np.float32)
kernels.gemm(a, a)                     # the pool is running
child = os.fork()
right = bool((kernels.gemm(a, a) == 256).all())
if child == 0:
    os._exit(0 if right else 1)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status) or not right)
"""


def test_kernels_work_after_fork() -> None:
    assert run(FORK, timeout=20).returncode == 0


def test_signals_go_to_the_main_thread_and_masks_stay() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with byhand.num_threads(3):
        product()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    tasks = Path("/proc/self/task")
    blocked = [
        line.split()[1]
        for task in tasks.iterdir()
        for line in (task / "status").read_text().splitlines()
        if line.startswith("SigBlk:")
    ]
    interrupt = 1 << (signal.SIGINT - 1)
    assert sum(bool(int(mask, 16) & interrupt) for mask in blocked) >= 2  # the workers


def test_denormals_are_computed_by_every_thread() -> None:
    tiny = np.full((512, 64), 1e-40, np.float32)
    ones = np.eye(64, dtype=np.float32)
    with byhand.num_threads(3):
        assert np.array_equal(kernels.gemm(tiny, ones), tiny)


@pytest.mark.slow
def test_an_idle_pool_sleeps() -> None:
    code = """
import time, numpy as np, byhand
from byhand import kernels
byhand.set_num_threads(3)
a = np.ones((256, 256), np.float32)
kernels.gemm(a, a)
time.sleep(0.05)
used = time.process_time()
time.sleep(0.5)
print(time.process_time() - used)
"""
    assert float(run(code).stdout) < 0.1


WHERE = """
import os, numpy as np, byhand
from byhand import kernels
before = set(os.listdir("/proc/self/task"))
byhand.set_num_threads(2)
a = np.ones((256, 256), np.float32)
cpus = os.sched_getaffinity(0)
first_two = sorted(cpus)[:2]
sizes, kept_off = set(), set()
for attempt in range(1000):  # the system may move the caller back before the product begins
    cpu = first_two[attempt % 2]
    os.sched_setaffinity(0, {cpu})  # the caller moves there
    os.sched_setaffinity(0, cpus)
    kernels.gemm(a, a)
    (worker,) = set(os.listdir("/proc/self/task")) - before
    off = cpus - os.sched_getaffinity(int(worker))
    sizes.add(len(off))
    kept_off |= off
    if kept_off >= set(first_two):
        break
print(*sizes, kept_off >= set(first_two), os.sched_getaffinity(0) == cpus)
os.sched_setaffinity(0, {cpu})  # a pinned caller: the worker keeps the others
kernels.gemm(a, a)
print(len(cpus) - len(os.sched_getaffinity(int(worker))))
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: nowhere to go")
def test_a_worker_keeps_off_the_callers_processor() -> None:
    assert run(WHERE).stdout.split() == ["1", "True", "True", "1"]


PINNED = """
import os, threading, numpy as np, byhand
from byhand import kernels
from byhand._core import testing
testing.set_thread_limit(256)
before = set(os.listdir("/proc/self/task"))
byhand.set_num_threads(4)
a = np.ones((256, 256), np.float32)
cpus = os.sched_getaffinity(0)
pinned = min(cpus)

def start_the_pool():
    os.sched_setaffinity(0, {pinned})
    kernels.gemm(a, a)

thread = threading.Thread(target=start_the_pool)
thread.start()
thread.join()
# A listing may leave out a thread if another one ends at this moment, so there are several.
tasks = set().union(*(os.listdir("/proc/self/task") for _ in range(5)))
workers = tasks - before - {str(thread.native_id)}
print(len(workers), *(os.sched_getaffinity(int(w)) == cpus - {pinned} for w in workers))
kernels.gemm(a, a)
print(*(len(os.sched_getaffinity(int(w))) == len(cpus) - 1 for w in workers))
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: nowhere to go")
def test_workers_do_not_inherit_the_affinity_of_a_pinned_thread() -> None:
    assert run(PINNED).stdout.split() == ["3", *["True"] * 6]


FORKED = """
import os, numpy as np, byhand
from byhand import kernels
from byhand._core import testing
testing.set_thread_limit(256)
byhand.set_num_threads(2)
a = np.ones((256, 256), np.float32)
kernels.gemm(a, a)
if child := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
own = {max(os.sched_getaffinity(0))}
os.sched_setaffinity(0, own)
kernels.gemm(a, a)
tasks = os.listdir("/proc/self/task")
print(len(tasks), all(os.sched_getaffinity(int(task)) == own for task in tasks), flush=True)
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: nowhere to go")
def test_workers_of_a_forked_process_stay_on_its_processors() -> None:
    assert run(FORKED).stdout.split() == ["2", "True"]


IMPORTED_BY_A_PINNED_THREAD = """
import os, threading
def pinned():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import byhand.runtime
thread = threading.Thread(target=pinned)
thread.start()
thread.join()
import byhand.runtime
print(byhand.runtime.config()["usable_cpus"])
"""


@pytest.mark.slow
def test_a_pinned_thread_that_imports_byhand_does_not_limit_the_process() -> None:
    usable = run("import byhand.runtime; print(byhand.runtime.config()['usable_cpus'])").stdout
    assert run(IMPORTED_BY_A_PINNED_THREAD).stdout == usable


LIMIT = """
import os, threading, numpy as np, byhand
from byhand import kernels
before = len(os.listdir("/proc/self/task"))
byhand.set_num_threads(256)
a = np.ones((1024, 1024), np.float32)
kernels.gemm(a, a)
print(byhand.get_num_threads(), len(os.listdir("/proc/self/task")) - before + 1)
byhand.show_config()
"""


def test_no_more_threads_run_than_there_are_processors() -> None:
    """256 threads on 2 processors were 9 times slower than 2 threads."""
    result = run(LIMIT).stdout
    usable = byhand.runtime.config()["usable_cpus"]
    assert result.split()[:2] == ["256", str(min(usable, 256))]
    assert f"{min(usable, 256)} of {usable} usable processors" in result
    assert ("256 were asked for" in result) == (usable < 256)


def test_tests_run_as_many_threads_as_they_ask_for() -> None:
    with byhand.num_threads(5):
        assert byhand.runtime.config()["running_threads"] == 5
    with pytest.raises(ValueError, match="limit must be from 1 to 256"):
        testing.set_thread_limit(0)


def test_default_num_threads_is_within_its_range() -> None:
    assert 1 <= testing.default_num_threads() <= 256
