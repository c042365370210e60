"""The thread pool: how many threads, from where, and what they must survive."""

import os
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


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"BYHAND_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": " 4 "}, 4),
        ({"OMP_NUM_THREADS": "384"}, 256),  # another library's variable, on a large machine
        ({"BYHAND_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
    ],
)
def test_environment_sets_the_number(environment: dict[str, str], threads: int) -> None:
    assert run(SHOW, **environment).stdout.strip() == str(threads)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (own, value)
        for own in ("BYHAND_NUM_THREADS", "OMP_NUM_THREADS")
        for value in ("0", "-1", "two", "2.5")
    ]
    + [("BYHAND_NUM_THREADS", value) for value in ("257", "99999999999999", "2 ")],
)
def test_impossible_number_in_the_environment_is_an_error(name: str, value: str) -> None:
    result = run("import byhand", **{name: value})
    assert result.returncode != 0
    assert name in result.stderr and value in result.stderr


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
kept_off = []
for cpu in sorted(cpus)[:2]:
    os.sched_setaffinity(0, {cpu})  # the caller moves there
    os.sched_setaffinity(0, cpus)
    kernels.gemm(a, a)
    (worker,) = set(os.listdir("/proc/self/task")) - before
    kept_off.append(cpus - os.sched_getaffinity(int(worker)))
print(*map(len, kept_off), kept_off[0] != kept_off[1], os.sched_getaffinity(0) == cpus)
os.sched_setaffinity(0, {cpu})  # no other is left: the worker stays where it was
kernels.gemm(a, a)
print(len(cpus) - len(os.sched_getaffinity(int(worker))))
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: nowhere to go")
def test_a_worker_keeps_off_the_callers_processor() -> None:
    assert run(WHERE).stdout.split() == ["1", "1", "True", "True", "1"]


def test_default_num_threads_is_within_its_range() -> None:
    assert 1 <= testing.default_num_threads() <= 256
