"""Times LeNet-5's convolutions by the direct and by Winograd's algorithm, and measures errors.

    python tools/conv2d_methods.py --threads 1

Prints one row for each convolution and for each of its gradients: milliseconds per batch, and the
difference from float64 divided by the result, both in the Euclidean norm.
"""

from __future__ import annotations

import argparse
import sys
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import byhand
import numpy as np
from byhand import kernels

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import reference  # the definition of each operator in float64

# Input channels, input height, number of filters and output height. The filters are 5 x 5.
LAYERS = {"conv1": (1, 28, 20, 24), "conv2": (20, 12, 50, 8)}


def calls(name: str, batch: int) -> dict[str, tuple[Any, ...]]:
    """Return the arguments of conv2d and of both gradients, drawn from a normal distribution."""
    channels, size, filters, out_size = LAYERS[name]
    rng = np.random.default_rng(0)
    x, weight, grad_output = (
        rng.standard_normal(shape, np.float32)
        for shape in (
            (batch, channels, size, size),
            (filters, channels, 5, 5),
            (batch, filters, out_size, out_size),
        )
    )
    return {
        "conv2d": (x, weight),
        "conv2d_backward_input": (grad_output, weight, x.shape),
        "conv2d_backward_weight": (grad_output, x, weight.shape),
    }


def best_ms(kernel: Callable[[], Any], rounds: int) -> float:
    """Return the milliseconds per call in the fastest round."""
    number = 20
    return min(timeit.repeat(kernel, number=number, repeat=rounds)) / number * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--batch", type=int, default=128, metavar="N")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    options = parser.parse_args()
    byhand.set_num_threads(options.threads)
    print(f"{'milliseconds, then errors':29}", f"{'direct':>9}{'winograd':>9}" * 2, sep="")
    for name in LAYERS:
        for op, arguments in calls(name, options.batch).items():
            exact = getattr(reference, op)(*arguments)
            out = np.empty(exact.shape, np.float32)
            times, errors = [], []
            for algorithm in ("direct", "winograd"):
                kernel = partial(getattr(kernels, op), *arguments, algorithm=algorithm, out=out)
                times.append(best_ms(kernel, options.rounds))
                errors.append(np.linalg.norm(out - exact) / np.linalg.norm(exact))
            print(
                f"{name} {op:23}",
                *(f"{ms:9.2f}" for ms in times),
                *(f"{error:9.1e}" for error in errors),
                sep="",
            )


if __name__ == "__main__":
    main()
