"""`byhand record`: trainings with many seeds, for others to check."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from byhand.bench import tables
from byhand.bench.accuracy import folder_of
from byhand.bench.harness import Contest, rotated
from byhand.bench.options import (
    DataOption,
    JsonOption,
    SeedsOption,
    ThreadCountOption,
    all_threads,
    chosen,
    contenders_of,
    peers_option,
)
from byhand.bench.peers import Contender
from byhand.bench.record.recipes import ACCURACY, ATTEMPTS, SPEED, TARGETS
from byhand.bench.results import Learned, Result, Times, contender_names
from byhand.bench.run import Run, describe_threads
from byhand.bench.sampling import WorkerError
from byhand.bench.tasks import Attempt
from byhand.data import load_folder
from rich.text import Text

LEGEND = (
    "mean, worst: the accuracy on the test set after the last epoch, over all seeds. The test set "
    "chose no setting.\n"
    "training: the median time of the training alone. process: from the start of the process, with "
    "imports and reading the data, to the end of the training. Neither includes the evaluation."
)

# The contenders that can train by the recipes.
ABLE = ("byhand", "torch", "torch-channels-last", "torch-compile", "jax")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Repeat the records of byhand: what small networks reach, with every seed.",
)


@app.command("speed")
def speed_command(
    targets: Annotated[
        str,
        typer.Option(
            metavar="PERCENT,...",
            help=f"Mean accuracies to reach: {', '.join(SPEED)}.",
            show_default="all",
        ),
    ] = "",
    seeds: SeedsOption = 30,
    threads: ThreadCountOption = None,
    peers: Annotated[str, peers_option("none")] = "",
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Train a small network as fast as possible to a mean accuracy, with many seeds.

    Each seed trains in a process of its own. The last epoch counts, and no seed is left out. If
    byhand misses a target, or a seed fails, the exit code is 1.
    """
    wanted = chosen(targets, SPEED, "--targets")
    settings = {"command": "record speed", "targets": wanted, "seeds": seeds}
    _reach(_train(wanted, seeds, threads, _contenders(peers), data, Run(settings, json)))


@app.command("accuracy")
def accuracy_command(
    networks: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Networks to train: {', '.join(ACCURACY)}.",
            show_default="all",
        ),
    ] = "",
    average_shifts: Annotated[
        int,
        typer.Option(
            min=0,
            max=3,
            metavar="PIXELS",
            help="Average the probabilities over all shifts of a test image by up to this number "
            "of pixels. 0 evaluates each image once.",
        ),
    ] = 0,
    seeds: SeedsOption = 10,
    threads: ThreadCountOption = None,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Train one network to a mean accuracy that is as high as possible, with many seeds.

    The targets are 99.65 % for LeNet-5 and 99.75 % for a network of at most 350,000 parameters,
    without averaging over shifts. Each seed trains in a process of its own. The last epoch counts,
    and no seed is left out. If byhand misses a target, or a seed fails, the exit code is 1. With
    --average-shifts, no target is checked.
    """
    wanted = chosen(networks, ACCURACY, "--networks")
    settings = {"command": "record accuracy", "networks": wanted, "seeds": seeds}
    run = Run(settings | {"average_shifts": average_shifts}, json)
    means = _train(wanted, seeds, threads, _contenders(""), data, run, average_shifts)
    if not average_shifts:
        _reach(means)


@app.command("size")
def size_command(
    seeds: SeedsOption = 10,
    threads: ThreadCountOption = None,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Train a network of at most 1,000 parameters to a mean accuracy of 99 %, with many seeds.

    Each seed trains in a process of its own. The last epoch counts, and no seed is left out. If
    byhand misses the target, or a seed fails, the exit code is 1.
    """
    settings = {"command": "record size", "seeds": seeds}
    _reach(_train(["size"], seeds, threads, _contenders(""), data, Run(settings, json)))


@app.command("simplechains")
def simplechains_command(
    seeds: SeedsOption = 3,
    threads: ThreadCountOption = None,
    peers: Annotated[str, peers_option("none")] = "",
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Train the network that SimpleChains.jl published times for, for 10 epochs.

    Each seed trains in a process of its own. The last epoch counts, and no seed is left out.
    """
    settings = {"command": "record simplechains", "seeds": seeds}
    _train(["simplechains"], seeds, threads, _contenders(peers), data, Run(settings, json))


def _reach(means: Mapping[str, float]) -> None:
    """Exit with code 1 if a mean accuracy, by the name of its recipe, is below its target."""
    # A mean of binary fractions may differ from the decimal number in its last digits.
    if any(round(mean, 6) < TARGETS[name] for name, mean in means.items()):
        typer.secho("byhand missed a target", fg=typer.colors.RED, err=True)
        raise typer.Exit(1)


def _contenders(peers: str) -> Sequence[Contender]:
    contenders = contenders_of(peers, ())
    for contender in contenders:
        if contender.name not in ABLE:
            message = f"{contender.name} cannot train by a recipe: name {' or '.join(ABLE[1:])}"
            raise typer.BadParameter(message, param_hint="--peers")
    return contenders


def _train(
    names: Sequence[str],
    seeds: int,
    threads: int | None,
    contenders: Sequence[Contender],
    data: Path | None,
    run: Run,
    average_shifts: int = 0,
) -> dict[str, float]:
    """Train by some recipes and print their tables.

    Returns byhand's mean accuracies in percent. A mean is 0 if a seed failed.
    """
    folder = folder_of(data)
    load_folder(folder)  # refuses malformed files, and brings them into the page cache
    count = threads or all_threads()
    run.begin(count)
    means = {}
    try:
        with Contest(contenders, count) as contest:
            for name in names:
                able = contenders[:1] if ATTEMPTS[name].max_shift else contenders
                if len(able) < len(contenders):
                    note = "byhand trains alone, because the others do not shift images at random"
                    run.console.print(f"{_title(name)}: {note}")
                results: list[Result] = []
                try:
                    for seed in range(seeds):
                        attempt = Attempt(name, str(folder), seed, average_shifts)
                        results.append(_try(contest, able, attempt))
                        typer.echo(f"{_title(name)}: {seed + 1} of {seeds} seeds", err=True)
                finally:  # an interruption loses no seed that has ended
                    run.keep(results, contest)
                    if results:
                        run.console.print(_table(name, results, average_shifts))
                complete = len(_runs(results, contenders[0].name)) == seeds
                means[name] = _mean(results, contenders[0].name) if complete else 0.0
    except KeyboardInterrupt:
        run.end(LEGEND)
        raise
    run.end(LEGEND)
    return means


def _title(name: str) -> str:
    return f"{name} %" if name in SPEED else name


def _try(contest: Contest, contenders: Sequence[Contender], attempt: Attempt) -> Result:
    """Train all contenders with one seed. The order depends on the seed."""
    found = {}
    for contender in rotated(contenders, attempt.seed):
        try:
            (accuracy, begin, end), start = contest.alone(contender, "attempt", attempt)
        except WorkerError as error:
            found[contender.name] = Learned(contender.name, problem=f"FAILED: {error}")
            continue
        entry = Learned(contender.name, times=Times((end - begin,)), accuracies=[accuracy])
        entry.ends = [end - start]
        found[contender.name] = entry
    group = _title(attempt.model)
    case = {"label": f"{group}, seed {attempt.seed}", "group": group, **attempt.settings()}
    return Result(case, contest.threads, 0, [found[contender.name] for contender in contenders])


def _runs(results: Sequence[Result], name: str) -> list[Learned]:
    entries = (entry for result in results for entry in result.entries)
    return [e for e in entries if e.contender == name and isinstance(e, Learned) and e.times]


def _mean(results: Sequence[Result], name: str) -> float:
    """Return the mean accuracy of a contender in percent; 0 if all of its seeds failed."""
    accuracies = [100 * run.accuracies[0] for run in _runs(results, name)]
    return statistics.fmean(accuracies) if accuracies else 0.0


def _table(name: str, results: Sequence[Result], average_shifts: int) -> Text:
    rows = []
    for contender in contender_names(results):
        runs = _runs(results, contender)
        if not runs:
            rows.append((contender, "[bold red]FAILED[/]", "", "", "", ""))
            continue
        training = statistics.median(run.times.median for run in runs if run.times)
        rows.append(
            (
                contender,
                str(len(runs)),
                f"{_mean(results, contender):.3f} %",
                f"{min(100 * run.accuracies[0] for run in runs):.2f} %",
                tables.seconds(training),
                tables.seconds(statistics.median(run.ends[0] for run in runs)),
            )
        )
    recipe = ATTEMPTS[name]
    parameters = sum(parameter.data.size for parameter in recipe.model(seed=0).parameters())
    title = f"{_title(name)} in {recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''}, "
    title += f"{describe_threads(results[0].threads)}, {parameters:,} parameters"
    if average_shifts:
        title += f", averaged over shifts by up to {average_shifts} px"
    columns = ("contender", "seeds", "mean", "worst", "training", "process")
    return tables.aligned(title, columns, rows)
