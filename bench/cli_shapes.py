"""`byhand bench gemm` and `byhand bench conv2d`: one kernel, its shapes in groups, its goals."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from byhand.bench import conv2d as conv2d_cases
from byhand.bench import gemm as gemm_cases
from byhand.bench import gemm_report, goals, ladder
from byhand.bench.harness import Contest, Result
from byhand.bench.options import (
    JsonOption,
    RoundsOption,
    SecondsOption,
    ThreadsOption,
    chosen,
    contenders_of,
    threads_of,
)
from byhand.bench.peers import CONTENDERS, Contender
from byhand.bench.run import Run, check_plot, describe_threads, time_kernel
from byhand.files.atomic import write_atomic
from byhand.runtime import config

PeersOption = Annotated[
    str,
    typer.Option(
        metavar="NAME,...",
        help="Contenders beside byhand.",
        show_default="numpy and torch, if installed",
    ),
]


def conv2d(
    groups: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Groups of shapes: {', '.join(conv2d_cases.GROUPS)}.",
            show_default="all",
        ),
    ] = "",
    threads: ThreadsOption = "",
    peers: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Contenders beside byhand.",
            show_default="torch in both memory layouts, or else numpy",
        ),
    ] = "",
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 0.02,
    json: JsonOption = None,
) -> None:
    """Time convolutions and their gradients."""
    sections = chosen(groups, conv2d_cases.GROUPS, "--groups")
    contenders = contenders_of(peers or _installed("torch", "torch-channels-last") or "numpy")
    counts = threads_of(threads, [1, config()["usable_cpus"]])
    arguments = {"command": "conv2d", "groups": sections, "rounds": rounds, "seconds": seconds}
    run = Run(arguments, json, memory=False)

    def measure(contest: Contest, group: str) -> list[Result]:
        results = []
        for convolution in conv2d_cases.GROUPS[group]:
            for case in convolution.cases():
                result = time_kernel(contest, case, 1, rounds, seconds)
                result.case["batch"] = None  # a part of the name
                result.case |= {"group": group, "of": case.op, "network": convolution.of}
                results.append(result)
        run.keep(results, contest, around=True)
        title = f"{group}, {describe_threads(contest.threads)}"
        names, width = _names(contest), run.console.width
        run.console.print(gemm_report.products(title, results, names, "convolution", width))
        return results

    def summary(results: Sequence[Result], _: int) -> Iterable[goals.Line]:
        return conv2d_cases.summary(results)

    run.compete(contenders, counts, sections, measure, summary)


def gemm(
    groups: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Groups of shapes: {', '.join(gemm_cases.SECTIONS)}.",
            show_default="all",
        ),
    ] = "",
    threads: ThreadsOption = "",
    peers: PeersOption = "",
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 0.02,
    climb: Annotated[
        bool, typer.Option("--ladder", help="Show what each step gains, from three loops to gemm.")
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --ladder: rows and columns of the matrices.", show_default="512"
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", dir_okay=False, help="With --ladder: draw it into this file."
        ),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Time matrix products, and measure their errors and the overhead of a call."""
    if climb:
        if groups:
            raise typer.BadParameter("the ladder has none", param_hint="--groups")
        _ladder(threads, peers, size or 512, rounds, seconds, plot, json)
        return
    for option, value in (("--size", size), ("--plot", plot)):
        if value is not None:
            raise typer.BadParameter("goes with --ladder", param_hint=option)
    sections = chosen(groups, gemm_cases.SECTIONS, "--groups")
    contenders = contenders_of(peers or _installed("numpy", "torch"))
    counts = threads_of(threads, [1, config()["usable_cpus"]])
    arguments = {"command": "gemm", "groups": sections, "rounds": rounds, "seconds": seconds}
    run = Run(arguments, json, memory=False)

    def measure(contest: Contest, section: str) -> list[Result]:
        return _section(run, contest, section, rounds, seconds)

    run.compete(contenders, counts, sections, measure, gemm_report.summary, gemm_report.LEGEND)


def _installed(*names: str) -> str:
    return ",".join(c.name for c in CONTENDERS if c.name in names and not c.missing)


def _names(contest: Contest) -> list[str]:
    return [contender.name for contender in contest.contenders]


def _section(run: Run, contest: Contest, name: str, rounds: int, seconds: float) -> list[Result]:
    """Measures and shows one of gemm_cases.SECTIONS."""
    title = f"{name}, {describe_threads(contest.threads)}"
    if name == "error":
        results = [_error(contest, product) for product in gemm_cases.ERRORS]
        run.keep(results, contest)
        run.console.print(gemm_report.errors(title, results, _names(contest)))
        return results
    results = []
    for product in gemm_cases.GROUPS.get(name, [gemm_cases.CALL]):
        result = time_kernel(contest, product.case, 1, rounds, seconds)
        result.case |= {"group": name, **dataclasses.asdict(product)}
        results.append(result)
    run.keep(results, contest, around=True)
    if name == "call":
        run.console.print(gemm_report.calls(title, results[0]))
        return results
    names, width = _names(contest), run.console.width
    run.console.print(gemm_report.products(title, results, names, width=width))
    mean = goals.mean(results)
    if mean is not None:
        run.console.print(f"{name}: geometric mean of the ratios {mean:.3f}\n", highlight=False)
    return results


def _error(contest: Contest, product: gemm_cases.Product) -> Result:
    """The largest error of an element; more than the bound is wrong."""
    bound = gemm_cases.bound(product)
    entries = contest.verify(
        {"kernel": product.case.name, "batch": 1},
        gemm_cases.exact(product),
        tolerance=bound,
        measure=gemm_cases.error,
    )
    labels = {"label": product.case.name, "op": "gemm", "shape": product.case.shape}
    case = {**labels, "group": "error", **dataclasses.asdict(product), "bound": bound}
    return Result(case, contest.threads, 0, entries)


def _ladder(
    threads: str,
    peers: str,
    size: int,
    rounds: int,
    seconds: float,
    plot: Path | None,
    json: Path | None,
) -> None:
    others: list[Contender]
    _, *others = contenders_of(peers or "numpy")
    counts = threads_of(threads, [1, config()["usable_cpus"]])
    arguments = {"command": "gemm", "ladder": size, "rounds": rounds, "seconds": seconds}
    run = Run(arguments, json, memory=False)
    if plot is not None:
        check_plot(plot)
    rungs = ladder.rungs(ladder.climb(run, counts, others, size, rounds, seconds))
    title = f"From three loops to gemm, {size} x {size} x {size}"
    run.console.print(ladder.table(title, rungs))
    if plot is not None:
        write_atomic(plot, ladder.chart(title, rungs, plot.suffix.lower()))
    run.end(ladder.LEGEND)
