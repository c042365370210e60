"""`byhand bench accuracy`: seconds from a process's start to an accuracy on the test set."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from byhand.bench.harness import Contest, Entry, Result, Times, WorkerError
from byhand.bench.options import (
    AllThreadsOption,
    DataOption,
    JsonOption,
    PeersOption,
    contenders_of,
    threads_of,
)
from byhand.bench.peers import OURS, Contender
from byhand.bench.report import digits, red_below_one
from byhand.bench.run import Run, describe_threads
from byhand.bench.tables import Row, aligned
from byhand.bench.tasks import Course
from byhand.data import DataError, load_folder
from byhand.data.folder import data_folder, find_files, is_complete
from byhand.runtime import config
from rich.markup import escape
from rich.text import Text

LEGEND = (
    "time: from the start of the process, with imports and reading the data, to the end of the "
    "first epoch whose accuracy is the target or more.\n"
    "ratio: the contender's time divided by byhand's, seed by seed. Below 1, in red, byhand is "
    "slower."
)


@dataclass
class Learned(Entry):
    """ends: seconds from the start of the process to the end of each epoch, its evaluation
    included. accuracies: of each. epoch: the first that reached the target, None where none did;
    `times` is its end alone."""

    ends: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    epoch: int | None = None


def accuracy(
    target: Annotated[
        float,
        typer.Option(
            min=0, max=100, metavar="PERCENT", help="Accuracy on the test images to reach."
        ),
    ] = 99.2,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds to train with.")] = 1,
    threads: AllThreadsOption = "",
    data: DataOption = None,
    peers: PeersOption = "",
    json: JsonOption = None,
) -> None:
    """Time LeNet-5 from the start of a process until it reads 99.2 % of the test set.

    All contenders train it with ReLU and our default recipe.
    """
    contenders = contenders_of(peers)
    counts = threads_of(threads, [config()["usable_cpus"]])
    folder = _folder(data)
    load_folder(folder)  # for what is malformed, and so that nobody waits for the disk
    run = Run({"command": "accuracy", "target": target, "seeds": seeds}, json, memory=False)
    summary = []
    for count in counts:
        run.begin(count)
        with Contest(contenders, count) as contest:
            able = [contender for contender in contenders if _learns(contest, contender)]
            results = [
                _race(contest, able, Course("lenet5", str(folder), seed), target)
                for seed in range(seeds)
            ]
            run.keep(results, contest)
        lines = [_line(contender.name, results) for contender in able]
        summary += [{"threads": count} | line for line in lines]
        title = f"LeNet-5 to {target:g} % of the test set, {describe_threads(count)}"
        run.console.print(_table(title, results, lines if seeds > 1 else []))
    run.end(LEGEND, summary)


def _folder(root: Path | None) -> Path:
    """The folder that byhand.data.mnist reads; nothing is fetched."""
    folder = data_folder(root)
    if not is_complete(find_files(folder)):
        raise DataError(
            f"no MNIST in {folder}: `byhand data fetch` brings it, or name it with --data"
        )
    return folder


def _learns(contest: Contest, contender: Contender) -> bool:
    """Whether it trains with a recipe. Also puts the files of its library into memory."""
    try:
        return bool(contest.alone(contender, {"has": "learn"})[0]["has"])
    except WorkerError:
        return True  # and its row will tell


def _race(contest: Contest, able: Sequence[Contender], course: Course, target: float) -> Result:
    """All contenders on one seed, one after another, each seed in another order."""
    first = course.seed % len(able)
    found = {}
    for contender in (*able[first:], *able[:first]):
        # A contender may train for minutes, in which nothing else would be seen.
        typer.echo(f"seed {course.seed}: {contender.name} trains ...", err=True)
        found[contender.name] = _learn(contest, contender, course, target)
    ours = found[OURS].times
    for entry in found.values():
        if ours is not None and entry.times is not None:
            entry.ratio = entry.times.over(ours)
    case = {"label": f"seed {course.seed}", "model": course.model, "seed": course.seed}
    recipe = {k: v for k, v in asdict(course.recipe).items() if k != "model"}
    entries: list[Entry] = [found[contender.name] for contender in able]
    return Result(case | {"target": target, "recipe": recipe}, contest.threads, 0, entries)


def _learn(contest: Contest, contender: Contender, course: Course, target: float) -> Learned:
    try:
        reply, start = contest.alone(contender, {"learn": asdict(course)})
    except WorkerError as error:
        return Learned(contender.name, problem=f"FAILED: {error}")
    entry = Learned(contender.name, accuracies=reply["accuracies"])
    entry.ends = [end - start for end in reply["ends"]]
    for epoch, (end, part) in enumerate(zip(entry.ends, entry.accuracies, strict=True), 1):
        if round(100 * part, 6) >= target:
            entry.epoch, entry.times = epoch, Times((end,))
            return entry
    entry.note = "not reached"
    return entry


def _line(name: str, results: Sequence[Result]) -> dict[str, Any]:
    """A contender over all seeds: medians over those that reached the target, mean accuracies."""
    runs = [e for r in results for e in r.entries if isinstance(e, Learned) and e.contender == name]
    times = [run.times.median for run in runs if run.times]
    ratios = [run.ratio for run in runs if run.ratio is not None]
    epochs = [run.epoch for run in runs if run.epoch is not None]
    each = zip(*(run.accuracies for run in runs if run.accuracies), strict=True)
    return {
        "contender": name,
        "seeds": len(runs),
        "reached": len(times),
        "seconds": statistics.median(times) if times else None,
        "ratio": statistics.median(ratios) if ratios else None,
        "epoch": statistics.median(epochs) if epochs else None,
        "accuracies": [statistics.fmean(epoch) for epoch in each],
    }


def _table(title: str, results: Sequence[Result], lines: Sequence[dict[str, Any]]) -> Text:
    """lines: those of the last section, over all seeds."""
    rows: list[Row] = []
    for result in results:
        rows.append(f"[bold]{result.case['label']}[/]")
        for entry in result.entries:
            assert isinstance(entry, Learned)
            time = entry.times.median if entry.times else None
            rows.append(_cells(entry.contender, time, entry.ratio, entry.epoch, entry.accuracies))
            if entry.problem or entry.note:
                problem = f"[bold red]{escape(entry.problem)}[/]" if entry.problem else entry.note
                rows.append(f"  {entry.contender}: {problem}")
    if lines:
        rows.append("[bold]median over the seeds; mean accuracy[/]")
    for line in lines:
        names = ("contender", "seconds", "ratio", "epoch", "accuracies")
        rows.append(_cells(*(line[name] for name in names)))
        reached = f"reached by {line['reached']} of {line['seeds']} seeds"
        rows.append(f"  {line['contender']}: {reached}")
    headings = ("contender", "seconds", "ratio", "epoch", "% after each epoch")
    return aligned(title, headings, rows)


def _cells(
    name: str,
    time: float | None,
    ratio: float | None,
    epoch: float | None,
    accuracies: Sequence[float],
) -> list[str]:
    return [
        name,
        "" if time is None else digits(time),
        "" if name == OURS else red_below_one(ratio),
        "" if epoch is None else f"{epoch:g}",
        " ".join(f"{100 * accuracy:.2f}" for accuracy in accuracies),
    ]
