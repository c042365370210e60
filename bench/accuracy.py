"""`byhand bench accuracy`: seconds from a process's start to an accuracy on the test set."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from byhand.bench import tables
from byhand.bench.harness import Contest, rotated
from byhand.bench.options import (
    AllThreadsOption,
    DataOption,
    JsonOption,
    PeersOption,
    SeedsOption,
    all_threads,
    contenders_of,
    threads_of,
)
from byhand.bench.peers import OURS, Contender
from byhand.bench.results import Entry, Learned, Result, Times
from byhand.bench.run import Run
from byhand.bench.sampling import WorkerError
from byhand.bench.tasks import Course
from byhand.data import DataError, load_folder
from byhand.data.folder import data_folder, find_files, is_complete
from rich.text import Text

LEGEND = (
    "time: from the start of the process, with imports and reading the data, to the end of the "
    "first epoch whose accuracy is the target or more.\n"
    "ratio: the contender's time divided by byhand's, seed by seed. Below 1, in red, byhand is "
    "slower."
)


def command(
    target: Annotated[
        float,
        typer.Option(
            min=0, max=100, metavar="PERCENT", help="Accuracy on the test images to reach."
        ),
    ] = 99.2,
    seeds: SeedsOption = 1,
    threads: AllThreadsOption = "",
    data: DataOption = None,
    peers: PeersOption = "",
    json: JsonOption = None,
) -> None:
    """Time LeNet-5 from the start of a process until its accuracy on the test set is 99.2 %.

    All contenders train LeNet-5 with ReLU by the default recipe of `byhand train`.
    """
    contenders = contenders_of(peers)
    counts = threads_of(threads, [all_threads()])
    folder = folder_of(data)
    # This refuses malformed files, and brings the files into the page cache. So no contender
    # has to wait for the disk later.
    load_folder(folder)

    def measure(contest: Contest, _: str) -> list[Result]:
        able = [contender for contender in contenders if _learns(contest, contender)]
        courses = (Course("lenet5", str(folder), seed) for seed in range(seeds))
        return [_race(contest, able, course, target) for course in courses]

    run = Run({"command": "accuracy", "target": target, "seeds": seeds}, json)
    group = f"LeNet-5 to {target:g} % of the test set"
    run.compete(contenders, counts, [group], measure, _table, LEGEND)


def folder_of(root: Path | None) -> Path:
    """Return `root`, or if it is None the folder that `mnist` reads. Nothing is fetched."""
    folder = data_folder(root)
    if not is_complete(find_files(folder)):
        raise DataError(
            f"no MNIST in {folder}: run `byhand data fetch`, or name another folder with --data"
        )
    return folder


def _learns(contest: Contest, contender: Contender) -> bool:
    """Whether a contender can train with a recipe.

    To find out, this function starts a process of the contender. The process also brings the files
    of its library into the page cache, so that a later process need not wait for the disk.
    """
    try:
        return bool(contest.alone(contender, "has", "learn")[0])
    except WorkerError:
        return True  # its row will report the problem


def _race(contest: Contest, able: Sequence[Contender], course: Course, target: float) -> Result:
    """Train all contenders with one seed, one after another. The order depends on the seed."""
    found = {}
    for contender in rotated(able, course.seed):
        # A contender may train for minutes, during which nothing else is printed.
        typer.echo(f"seed {course.seed}: {contender.name} trains ...", err=True)
        found[contender.name] = _learn(contest, contender, course, target)
    ours = found[OURS].times
    for entry in found.values():
        if ours is not None and entry.times is not None:
            entry.ratio = entry.times.over(ours)
    case = {"label": f"seed {course.seed}", "target": target, **course.settings()}
    return Result(case, contest.threads, 0, [found[contender.name] for contender in able])


def _learn(contest: Contest, contender: Contender, course: Course, target: float) -> Learned:
    try:
        (accuracies, ends), start = contest.alone(contender, "learn", course)
    except WorkerError as error:
        return Learned(contender.name, problem=f"FAILED: {error}")
    entry = Learned(contender.name, accuracies=accuracies)
    entry.ends = [end - start for end in ends]
    for epoch, (end, part) in enumerate(zip(entry.ends, entry.accuracies, strict=True), 1):
        if round(100 * part, 6) >= target:
            entry.epoch, entry.times = epoch, Times((end,))
            return entry
    entry.note = "not reached"
    return entry


def _over_seeds(name: str, results: Sequence[Result]) -> Learned:
    """Sum up the trainings of a contender with all seeds.

    The medians are over the seeds that reached the target. The mean accuracies are over all seeds
    whose training did not fail.
    """
    runs = [e for r in results for e in r.entries if isinstance(e, Learned) and e.contender == name]
    reached = [run for run in runs if run.times]
    ratios = [run.ratio for run in reached if run.ratio is not None]
    epochs = [run.epoch for run in reached if run.epoch is not None]
    each = zip(*(run.accuracies for run in runs if run.accuracies), strict=True)
    return Learned(
        name,
        times=Times(tuple(run.times.median for run in reached if run.times)) if reached else None,
        ratio=statistics.median(ratios) if ratios else None,
        epoch=statistics.median(epochs) if epochs else None,
        accuracies=[statistics.fmean(epoch) for epoch in each],
        note=f"reached by {len(reached)} of {len(runs)} seeds",
    )


def _epoch_cell(_: Result, entry: Entry, __: float) -> str:
    assert isinstance(entry, Learned)
    return "" if entry.epoch is None else f"{entry.epoch:g}"


def _accuracies_cell(_: Result, entry: Entry, __: float) -> str:
    assert isinstance(entry, Learned)
    return " ".join(f"{100 * accuracy:.2f}" for accuracy in entry.accuracies)


def _table(title: str, results: Sequence[Result]) -> Text:
    """Lay out a section for each seed and, if there are several, one over all seeds."""
    columns: dict[str, tables.Cell] = {
        "time": tables.TIMES["median"],
        "ratio": tables.TIMES["ratio"],
        "epoch": _epoch_cell,
        "% after each epoch": _accuracies_cell,
    }
    if len(results) > 1:
        case = {"label": "median over the seeds; mean accuracy"}
        entries: list[Entry] = [_over_seeds(e.contender, results) for e in results[0].entries]
        results = [*results, Result(case, results[0].threads, 0, entries)]
    return tables.by_contender(title, results, columns)
