"""`byhand bench serving`: several Python threads use one model at once, as in a web server.

First all threads answer the requests together, and each answer is compared with that of a single
thread. Then the same requests are timed with each number of threads, in turns.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import byhand
import numpy as np
import typer
from byhand.bench.options import ThreadsOption, chosen, counts_of, threads_of
from byhand.bench.results import Times
from byhand.bench.run import describe_threads
from byhand.bench.tables import aligned
from byhand.bench.tasks import MODELS, start
from byhand.models import Model
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

SIZES = (1, 1, 1, 2, 3, 8, 17, 64, 128, 200)
CALLERS = (1, 2, 8)
_DIFFERENT = 40  # number of different requests; the others repeat them

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Call = Callable[[Model, Images, Labels], Any]

CALLS: tuple[Call, ...] = (
    lambda model, images, labels: model.predict(images),
    lambda model, images, labels: model.predict_proba(images),
    lambda model, images, labels: model.outputs(images),
    lambda model, images, labels: byhand.evaluate(model, (images, labels)),
)

Request = tuple[Call, Images, Labels]


def requests_of(model: Model, count: int, seed: int = 0) -> list[Request]:
    """Return `count` requests of mixed sizes to predict, predict_proba, outputs and evaluate."""
    rng = np.random.default_rng(seed)
    kinds = []
    for number in range(_DIFFERENT):
        size = SIZES[number % len(SIZES)]
        images = rng.integers(0, 256, (size, *model.input_shape), np.uint8)
        call = CALLS[number // len(SIZES) % len(CALLS)]
        kinds.append((call, images, rng.integers(0, model.classes, size)))
    return [kinds[i] for i in rng.integers(0, len(kinds), count)]


def answer_all(model: Model, requests: Sequence[Request], callers: int) -> list[Any]:
    """Return the answers in the order of the requests; `callers` threads take them in turn."""
    answers: list[Any] = [None] * len(requests)
    following = itertools.count()

    def work(_: int) -> None:
        while (i := next(following)) < len(requests):
            call, images, labels = requests[i]
            answers[i] = call(model, images, labels)

    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(work, range(callers)))  # raises the exception of a thread
    return answers


def command(
    model: Annotated[
        str, typer.Option(metavar="NAME", help=f"The network: {', '.join(MODELS)}.")
    ] = "lenet5",
    requests: Annotated[
        int, typer.Option(min=1, help="Number of requests, of 1 to 200 images each.")
    ] = 10_000,
    callers: Annotated[
        str,
        typer.Option(
            metavar="N,...",
            help="Numbers of Python threads that send requests.",
            show_default="1,2,8",
        ),
    ] = "",
    threads: ThreadsOption = "",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds to time.")] = 3,
) -> None:
    """Send requests to one model from several Python threads, check the answers and time them."""
    network = start(chosen(model, MODELS, "--model")[0], "tanh", 0)
    counts = counts_of(callers, CALLERS, 64, "--callers")
    asked = requests_of(network, requests)
    console = Console()
    for kernel_threads in threads_of(threads, [1]):
        with byhand.num_threads(kernel_threads):
            expected = answer_all(network, asked, 1)
            found = answer_all(network, asked, max(counts))
            wrong = sum(not np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
            console.print(f"{requests:,} requests, {max(counts)} callers: {wrong} wrong answers")
            if wrong:
                raise typer.Exit(1)
            console.print(_table(network, asked, counts, rounds))


def _table(network: Model, asked: Sequence[Request], counts: Sequence[int], rounds: int) -> Text:
    def seconds(callers: int) -> float:
        begin = time.perf_counter()
        answer_all(network, asked, callers)
        return time.perf_counter() - begin

    turns = [[seconds(count) for count in counts] for _ in range(rounds)]
    times = [Times(own) for own in zip(*turns, strict=True)]
    images = sum(len(request[1]) for request in asked)
    rows = []
    for count, own in zip(counts, times, strict=True):
        rates = (f"{amount / own.median:,.0f}" for amount in (len(asked), images))
        rows.append((str(count), *rates, f"{times[0].over(own):.2f}"))
    title = f"kernels on {describe_threads(byhand.get_num_threads())}"
    return aligned(title, ("callers", "requests/s", "images/s", "times the first"), rows)
