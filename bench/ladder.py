"""The commands `byhand ladder gemm` and `byhand ladder conv2d`.

They compile the steps of csrc/ladder, check their results, and time them.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from byhand.bench import conv2d, gemm, tables
from byhand.bench.cases import Case
from byhand.bench.harness import Arrays, Contest, Measure, difference
from byhand.bench.ladder_steps import Step, StepError, compile_step, steps
from byhand.bench.ladder_views import Rung, chart, split_page, table, write_into_page
from byhand.bench.options import (
    MOST_THREADS,
    JsonOption,
    PlotOption,
    RoundsOption,
    SecondsOption,
    all_threads,
    check_plot,
    contenders_of,
    peers_option,
)
from byhand.bench.peers import CONTENDERS, OURS, Contender
from byhand.bench.results import Entry, Result
from byhand.bench.run import KERNEL_TOLERANCE, Run, check_folder, reference
from byhand.files.atomic import write_atomic
from byhand.runtime import config

# Seconds after which a contender gets no more turns, summed over its turns. A product by three
# loops can take seconds.
ENOUGH = 3.0
CONVOLUTION = "conv2d N128 20->50 5x5 on 12"  # LeNet-5's second convolution, 128 images
# The last step: what the kernel of byhand does that the step before does not.
SHIPPED = {
    "gemm": "kernels.gemm packs b only if that pays, cuts the tiles at the edges by "
    "masks, and takes any strides.",
    "conv2d": "kernels.conv2d keeps its transforms in registers, and takes any filter, stride and "
    "padding.",
}
# The settings that --json records.
_RECORDED = ("operator", "step", "threads", "rounds", "seconds")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run the steps from plain loops to the kernels of byhand, and show what each step gains.",
)
StepArgument = Annotated[
    str,
    typer.Argument(
        metavar="STEP",
        help="The number of a step, or the path of a .cc file of your own. The last step is the "
        "kernel of byhand.",
        show_default="all steps, and NumPy",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_THREADS,
        help="Number of threads of the steps that use threads. All other steps use one.",
        show_default="one per processor",
    ),
]
PeersOption = Annotated[str, peers_option("numpy, and torch if it is installed; none for one STEP")]
DiffOption = Annotated[
    bool, typer.Option("--diff", help="Print what STEP changes in the file of the step before it.")
]
PageOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.md",
        dir_okay=False,
        help="Also write the table, and a link to the chart of --plot, into this page, between the "
        "comments `ladder gemm` and `end of ladder` (or `ladder conv2d`).",
    ),
]


@dataclasses.dataclass(frozen=True)
class Problem:
    """What all steps compute, and the float64 result that they are compared with.

    what : the problem in the form that `Worker.prepare` takes.
    """

    title: str
    what: Any
    case: Case
    exact: Arrays
    tolerance: float
    measure: Measure


@dataclasses.dataclass(frozen=True)
class Settings:
    """The options of both commands."""

    operator: str
    step: str
    threads: int | None
    peers: str
    rounds: int
    seconds: float
    plot: Path | None
    json: Path | None
    page: Path | None
    diff: bool


@app.command("gemm")
def gemm_command(
    step: StepArgument = "",
    size: Annotated[
        int, typer.Option(min=1, max=20_000, help="Rows and columns of the matrices.")
    ] = 1024,
    threads: ThreadsOption = None,
    peers: PeersOption = "",
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 0.02,
    diff: DiffOption = False,
    plot: PlotOption = None,
    json: JsonOption = None,
    page: PageOption = None,
) -> None:
    """Multiply two square matrices by each step from three loops to `kernels.gemm`."""
    product = gemm.Product(size, size, size)
    climb(
        lambda: Problem(
            f"From three loops to gemm, {size} x {size} x {size}",
            product,
            product.case,
            gemm.exact(product),
            gemm.bound(product),
            gemm.error,
        ),
        Settings("gemm", step, threads, peers, rounds, seconds, plot, json, page, diff),
    )


@app.command("conv2d")
def conv2d_command(
    step: StepArgument = "",
    threads: ThreadsOption = None,
    peers: PeersOption = "",
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 0.02,
    diff: DiffOption = False,
    plot: PlotOption = None,
    json: JsonOption = None,
    page: PageOption = None,
) -> None:
    """Compute LeNet-5's second convolution by each step from seven loops to `kernels.conv2d`.

    The share of the peak counts the operations of the direct algorithm. Winograd's algorithm needs
    fewer, so its share may exceed 100%.
    """
    case = conv2d.CASES[CONVOLUTION]
    climb(
        lambda: Problem(
            "From seven loops to conv2d, 128 images, 20 -> 50 channels, 5 x 5 on 12 x 12",
            (CONVOLUTION, 1),
            case,
            reference(case, 1),
            KERNEL_TOLERANCE,
            difference,
        ),
        Settings("conv2d", step, threads, peers, rounds, seconds, plot, json, page, diff),
    )


def climb(problem: Callable[[], Problem], settings: Settings) -> None:
    """Time the chosen steps and show them. `problem` is a function that makes the Problem."""
    every = steps(settings.operator)
    chosen, with_ours = _chosen(settings.step, every)
    if settings.diff:
        if len(chosen) != 2:
            message = f"needs a STEP from 2 to {len(every)}"
            raise typer.BadParameter(message, param_hint="--diff")
        typer.echo(_diff(*chosen))
    check_plot(settings.plot)
    if settings.page is not None:
        _check_page(settings.page, settings)
    default = ["numpy", "torch"] if not settings.step else []
    others = [c for c in contenders_of(settings.peers, default) if c.name != OURS]
    ours = [CONTENDERS[0]] if with_ours else []
    threads = settings.threads or all_threads()
    with tempfile.TemporaryDirectory(prefix="byhand-ladder-") as folder:
        alone, shared = _compiled(chosen, Path(folder), threads)
        options = {name: value for name, value in vars(settings).items() if name in _RECORDED}
        run = Run({"command": "ladder", **options}, settings.json)
        made = problem()
        results = []
        for count, contenders in ((1, alone), (threads, shared)):
            if contenders:
                results.append(_compete(run, made, count, [*contenders, *ours, *others], settings))
    ours_label = f"{len(every) + 1} {OURS}"
    rungs = list(rungs_of(results, chosen, ours_label, SHIPPED[settings.operator]))
    run.console.print(table(made.title, rungs))
    if settings.plot is not None:
        write_atomic(settings.plot, chart(made.title, rungs, settings.plot.suffix.lower()))
    if settings.page is not None:
        write_into_page(settings.page, settings.operator, made.title, rungs, settings.plot)
    for step in chosen if settings.step else ():
        line = f"{step.label}: {os.path.relpath(step.path)}"
        run.console.print(line, highlight=False, soft_wrap=True)  # so that the path can be copied
    run.end(tables.LADDER_LEGEND)


def _check_page(page: Path, settings: Settings) -> None:
    """Refuse a page into which the table cannot be written, before measuring."""
    if settings.step:
        raise typer.BadParameter("needs all steps, so do not choose one", param_hint="--page")
    try:
        split_page(page, settings.operator)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--page") from None
    check_folder(page)


def _chosen(text: str, every: Sequence[Step]) -> tuple[list[Step], bool]:
    """Return all steps, or the step in the text and the one before it, and whether byhand runs."""
    if not text:
        return list(every), True
    ours = len(every) + 1
    path = Path(text)
    if path.suffix == ".cc" and path.is_file():
        return [Step(path.resolve())], False
    if not text.isdecimal() or not 1 <= int(text) <= ours:
        message = f"{text!r} must be a number from 1 to {ours}, or the path of a .cc file"
        raise typer.BadParameter(message, param_hint="STEP")
    number = int(text)
    return list(every[max(0, number - 2) : number]), number == ours


def _diff(before: Step, after: Step) -> str:
    """Return the difference between two steps, in the format of `diff -u`."""
    lines = difflib.unified_diff(
        before.text.splitlines(),
        after.text.splitlines(),
        before.path.name,
        after.path.name,
        lineterm="",
    )
    return "\n".join(lines)


def _compiled(
    chosen: Sequence[Step], folder: Path, threads: int
) -> tuple[list[Contender], list[Contender]]:
    """Compile steps. Return those that run on one thread, and those that run on several."""
    try:
        with ThreadPoolExecutor(config()["usable_cpus"]) as pool:
            libraries = list(pool.map(partial(compile_step, folder=folder), chosen))
    except StepError as error:
        typer.secho(f"byhand: {error}", err=True)
        raise typer.Exit(1) from None
    alone: list[Contender] = []
    shared: list[Contender] = []
    for step, library in zip(chosen, libraries, strict=True):
        contender = Contender(
            step.label, "byhand.bench.ladder_peer", ("byhand",), options={"library": str(library)}
        )
        (shared if step.is_threaded and threads > 1 else alone).append(contender)
    return alone, shared


def _compete(
    run: Run, problem: Problem, threads: int, contenders: Sequence[Contender], settings: Settings
) -> Result:
    """Check and time contenders on a number of threads."""
    run.begin(threads)
    with Contest(contenders, threads) as contest:
        entries = contest.run(
            problem.what,
            problem.exact,
            amount=lambda _: settings.seconds,
            rounds=settings.rounds,
            tolerance=problem.tolerance,
            measure=problem.measure,
            enough=ENOUGH,
        )
        case = {"label": problem.case.name, "op": problem.case.op, "shape": problem.case.shape}
        result = Result(case, threads, problem.case.work(1), entries)
        run.keep([result], contest)
    return result


def rungs_of(
    results: Sequence[Result], chosen: Sequence[Step], ours: str, shipped: str
) -> Iterator[Rung]:
    """Yield the steps in their order, then byhand, then the other contenders.

    The gain of a step is over the step before it, and that of byhand over the last step that has
    the same number of threads. `ours` is the label of byhand, `shipped` its description.
    """
    known = {step.label: step for step in chosen}
    order = [*known, OURS]
    pairs = [(result, entry) for result in results for entry in result.entries]
    before: float | None = None
    last: dict[int, float | None] = {}  # the rate of the last step, by the number of threads
    for result, entry in sorted(pairs, key=lambda pair: _place(pair[1], order)):
        rate = result.flops / entry.times.min if entry.times else None
        step = known.get(entry.contender)
        rung = Rung(entry.contender, result.threads, rate, result.peak, entry.problem or "")
        if step:
            gain, text = _ratio(rate, before), step.what_changes
            yield dataclasses.replace(rung, gain=gain, what_changes=text, path=step.path)
            before = last[result.threads] = rate
        elif entry.contender == OURS:
            gain = _ratio(rate, last.get(result.threads))
            yield dataclasses.replace(rung, name=ours, gain=gain, what_changes=shipped)
        else:
            yield rung


def _ratio(rate: float | None, before: float | None) -> float | None:
    return rate / before if rate and before else None


def _place(entry: Entry, order: Sequence[str]) -> int:
    return order.index(entry.contender) if entry.contender in order else len(order)
