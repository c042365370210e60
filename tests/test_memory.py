"""Temporary memory: how much a call needs, what threads keep, and that nothing grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import byhand
import numpy as np
import pytest
from byhand import kernels
from byhand._core import testing
from test_threads import run

MIB = 1 << 20
LIMIT = 64 * MIB


def array(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def convolution(
    images: int, inputs: int, size: int, outputs: int, filter_size: int, **geometry: int
) -> dict[str, Callable[[], object]]:
    """Return the three passes of a convolution, each as a function without arguments."""
    groups = geometry.get("groups", 1)
    x, w = array(images, inputs, size, size), array(outputs, inputs // groups, *[filter_size] * 2)
    y = kernels.conv2d(x, w, **geometry)
    name = f"{images} x {inputs} x {size}^2, {outputs} x {filter_size}^2, {geometry}"
    return {
        f"forward {name}": lambda: kernels.conv2d(x, w, **geometry),
        f"grad input {name}": lambda: kernels.conv2d_backward_input(y, w, x.shape, **geometry),
        f"grad weight {name}": lambda: kernels.conv2d_backward_weight(y, x, w.shape, **geometry),
    }


def product(m: int, n: int, k: int, **transposes: bool) -> dict[str, Callable[[], object]]:
    a = array(k, m) if transposes.get("trans_a") else array(m, k)
    b = array(n, k) if transposes.get("trans_b") else array(k, n)
    return {f"gemm {m} x {n} x {k}, {transposes}": lambda: kernels.gemm(a, b, **transposes)}


def calls() -> dict[str, Callable[[], object]]:
    images = array(64, 512, 7, 7)
    statistics = [array(512) for _ in range(4)]
    logits, labels = array(64, 50_000), np.zeros(64, np.int64)
    column, row = array(1, 4, 2_000_000, 1), array(1, 8, 1, 9998)
    row_gradient = array(1, 8, 1, 8001)
    return {
        **product(2000, 2000, 500),
        **product(2000, 2000, 500, trans_b=True),
        **product(2000, 2000, 500, trans_a=True, trans_b=True),
        **product(60, 60, 500_000, trans_a=True),
        **product(3, 100_000, 100),
        **convolution(1, 64, 100, 64, 3, padding=1),
        **convolution(16, 512, 7, 512, 3, padding=1),
        **convolution(2, 1024, 7, 1024, 3, padding=1),
        **convolution(2, 512, 14, 512, 5, padding=2),
        **convolution(1, 1, 2000, 1, 7),
        **convolution(64, 1, 28, 20, 5),
        **convolution(8, 64, 56, 128, 3, stride=2, padding=1),
        **convolution(4, 512, 28, 512, 1),
        **convolution(4, 256, 56, 256, 3, groups=256, padding=1),
        **convolution(4, 16, 64, 16, 11, dilation=3),
        "stride": lambda: kernels.conv2d_backward_input(
            array(8, 1, 150, 75), array(1, 256, 3, 3), (8, 256, 152, 151), stride=(1, 2)
        ),
        "a long column": lambda: kernels.conv2d(column, array(8, 4, 3, 1), padding=(1, 0)),
        "a long row of taps": lambda: kernels.conv2d_backward_weight(
            row_gradient, row, (8, 8, 1, 2000), padding=(0, 1)
        ),
        "gemm with a repeated row": lambda: kernels.gemm(
            array(6, 200_000), np.broadcast_to(array(700), (200_000, 700))
        ),
        "batch norm": lambda: kernels.batch_norm(images, *statistics, training=True),
        "cross entropy": lambda: kernels.softmax_cross_entropy(logits, labels),
        "max pooling": lambda: kernels.max_pool2d(array(1, 2, 2000, 2000), 9, stride=1),
        "average": lambda: kernels.avg_pool2d(array(1, 2, 2000, 2000), 9, stride=1),
        "a window of 2^31": lambda: kernels.avg_pool2d_backward(
            array(1, 1, 5, 5), (1, 1, 4, 4), 2**31, stride=1, padding=2**30
        ),
    }


@pytest.mark.slow
def test_a_call_needs_little_scratch_memory(isa: str, threads: int) -> None:
    large = {}
    for name, call in calls().items():
        byhand.release_memory()
        testing.scratch_peak()
        call()
        largest_argument = max(
            (cell.cell_contents.nbytes for cell in call.__closure__ or () if _is_array(cell)),
            default=0,
        )
        peak = testing.scratch_peak()
        if peak > max(LIMIT, largest_argument):
            large[name] = peak, largest_argument
    byhand.release_memory()
    assert not large


def _is_array(cell: object) -> bool:
    return isinstance(getattr(cell, "cell_contents", None), np.ndarray)


def test_kept_memory_is_freed(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((2, 200, 300), np.float32)
    expected = kernels.gemm(a, b, trans_b=True)
    assert byhand.release_memory() >= MIB
    assert byhand.release_memory() == 0
    np.testing.assert_array_equal(kernels.gemm(a, b, trans_b=True), expected)


def test_memory_in_use_is_not_freed(rng: np.random.Generator) -> None:
    """Threads compute while another one releases memory all the time."""
    a, b = rng.standard_normal((2, 200, 300), np.float32)
    expected = kernels.gemm(a, b, trans_b=True)
    results: list[bool] = []

    def compute() -> None:
        results.extend(
            np.array_equal(kernels.gemm(a, b, trans_b=True), expected) for _ in range(100)
        )

    workers = [threading.Thread(target=compute) for _ in range(3)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        byhand.release_memory()
    assert len(results) == 300 and all(results)


def test_the_memory_of_a_thread_that_has_ended_is_freed() -> None:
    """`join` may return a moment before the thread has ended."""
    a = array(200, 300)
    byhand.release_memory()
    testing.scratch_peak()
    with byhand.num_threads(1):
        worker = threading.Thread(target=lambda: kernels.gemm(a, a, trans_b=True))
        worker.start()
        worker.join()
    assert testing.scratch_peak() >= MIB
    for _ in range(100):
        if testing.scratch_peak() == 0:  # the largest size since the last call
            return
        time.sleep(0.02)
    pytest.fail("the scratch memory of the thread was not freed")


STEPS = """
import os
import numpy as np
from byhand.models import mlp
from byhand.optim import SGD
from byhand.training import BatchEnd, Trainer
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (2000, 28, 28), np.uint8)
labels = rng.integers(0, 10, 2000)
sizes = []
def watch(event):
    if isinstance(event, BatchEnd):
        step = (event.epoch - 1) * event.batches + event.batch
        if step in (1000, 10_000):
            sizes.append(resident())
model = mlp()
trainer = Trainer(model, SGD(model.parameters(), 0.01), handlers=[watch], progress=False)
trainer.fit((images, labels), epochs=40, batch_size=8)
print(sizes[1] - sizes[0])
"""


@pytest.mark.slow
def test_ten_thousand_steps_do_not_grow() -> None:
    assert int(run(STEPS).stdout) < MIB
