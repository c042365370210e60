"""Measures training steps of LeNet-5 in one process and in several, and predicts more processes.

    python tools/measure_ranks.py                # one process: 1 thread, then all; prediction
    mpirun -n 2 python tools/measure_ranks.py    # two processes, and the time of Allreduce

Each time is the shortest of many, because other programs may run on the same machine. The images
are random bytes, which take as long as digits.
"""

import argparse
import math
import time
from collections.abc import Iterator
from typing import Any

import byhand
import numpy as np
from byhand import Trainer, models, mpi, optim
from byhand.training import BatchEnd, Event, Ranks, TrainingStarted

BATCHES = (2, 8, 32, 128, 512, 2048)
PROCESSES = (1, 2, 4, 8, 16, 64)
# The latency of a message in seconds, and the bandwidth in bytes per second. These are assumptions.
NETWORKS = {
    "1 Gbit/s Ethernet": (50e-6, 0.117e9),
    "10 Gbit/s Ethernet": (30e-6, 1.17e9),
    "100 Gbit/s InfiniBand": (2e-6, 12e9),
}


class Steps:
    """A handler that measures the time from one step to the next."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        now = time.perf_counter()
        if isinstance(event, BatchEnd):
            self.seconds.append(now - self._last)
        if isinstance(event, BatchEnd | TrainingStarted):
            self._last = now


def step_seconds(batch: int, steps: int, ranks: Ranks) -> float:
    """Return the time of the fastest step. Only process 0 measures, so others return infinity."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch * steps, 28, 28), np.uint8)
    data = images, rng.integers(0, 10, len(images))
    model, measured = models.lenet5(seed=0), Steps()
    optimizer = optim.SGD(model.parameters(), 0.001, 0.9)
    trainer = Trainer(model, optimizer, handlers=[measured], progress=False, ranks=ranks)
    trainer.fit(data, epochs=2, batch_size=batch)
    return min(measured.seconds, default=math.inf)


def measured(repeats: int, ranks: Ranks) -> Iterator[tuple[int, float]]:
    for batch in BATCHES:
        steps = min(256, max(10, 8192 // batch))
        yield batch, min(step_seconds(batch, steps, ranks) for _ in range(repeats))


def allreduce_seconds(bytes_: int, repeats: int) -> float:
    """Return the time of the fastest Allreduce of a message of this size."""
    from mpi4py import MPI

    sent = np.ones(bytes_ // 4, np.float32)
    times: list[float] = []
    total = np.empty_like(sent)
    for _ in range(repeats):
        MPI.COMM_WORLD.Barrier()
        begin = time.perf_counter()
        MPI.COMM_WORLD.Allreduce(sent, total)
        times.append(time.perf_counter() - begin)
    return min(times)


def message_bytes() -> int:
    """Return the size of the one message of a step: all gradients, and three numbers."""
    model = models.lenet5(seed=0)
    gradients = optim.SGD(model.parameters(), 0.1).flat_gradients()
    return 4 * (sum(gradient.size for gradient in gradients) + 3)


def predicted_seconds(times: dict[int, float], batch: int, p: int, network: Any) -> float:
    """Predict the time of a step of p processes, each of which has a machine of its own.

    `times` has the measured time of one process for each batch size. The time of a share lies on
    the straight line between its neighbours.
    """
    latency, bandwidth = network
    computing = float(np.interp(-(-batch // p), list(times), list(times.values())))
    sending = 2 * (p - 1) / p * message_bytes() / bandwidth + 2 * (p - 1) * latency
    return computing + float(sending)


def predict(times: dict[int, float]) -> None:
    print(
        f"\nmessage: {message_bytes():,} bytes. Predicted speedup over one process with 1 thread:"
    )
    print("\n| network | batch | " + " | ".join(f"{p} processes" for p in PROCESSES[1:]) + " |")
    print("|---|---|" + "---|" * len(PROCESSES[1:]))
    for name, network in NETWORKS.items():
        for batch in BATCHES[-3:]:
            alone, *others = (predicted_seconds(times, batch, p, network) for p in PROCESSES)
            speedups = (f"{alone / seconds:.1f}" for seconds in others)
            print(f"| {name} | {batch:,} | " + " | ".join(speedups) + " |")


def threads_text(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="number of repetitions")
    repeats = parser.parse_args().repeats
    ranks = mpi.launched_world()
    if ranks.size > 1:
        for batch, seconds in measured(repeats, ranks):
            if ranks.is_first:
                each = f"{threads_text(byhand.get_num_threads())} each"
                print(f"{ranks.size} processes, {each}: {batch:5} {seconds * 1e3:7.3f} ms")
        for size in (4, 4096, message_bytes(), 8 * message_bytes()):
            seconds = allreduce_seconds(size, 200 * repeats)
            if ranks.is_first:
                print(f"Allreduce of {size:9,} bytes: {seconds * 1e6:8.1f} us")
        return
    times: dict[tuple[int, int], float] = {}
    for threads in sorted({1, byhand.get_num_threads()}):
        with byhand.num_threads(threads):
            for batch, seconds in measured(repeats, ranks):
                times[threads, batch] = seconds
                print(f"1 process, {threads_text(threads)}: {batch:5} {seconds * 1e3:7.3f} ms")
    predict({batch: seconds for (threads, batch), seconds in times.items() if threads == 1})


if __name__ == "__main__":
    main()
