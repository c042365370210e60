"""`byhand bench memory`: the memory that a call of a kernel needs beside its arrays."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from byhand.bench import tables
from byhand.bench.cases import CASES, OPS, Case
from byhand.bench.harness import Contest
from byhand.bench.options import (
    BatchOption,
    JsonOption,
    OpsOption,
    ThreadsOption,
    chosen,
    contenders_of,
    peers_option,
    threads_of,
)
from byhand.bench.peers import Contender
from byhand.bench.results import Entry, Result, contender_names
from byhand.bench.run import Run, bytes_moved, describe_threads, reference
from byhand.bench.sampling import WorkerError
from rich.text import Text

MEGABYTE = 2**20
LEGEND = (
    "arrays: the size of what a call reads and writes. The other columns: by how much the process "
    "of the contender grows at the peak of its first calls, without the results. It includes "
    "copies of the arguments in another layout or type. Each case has a process of its own. A call "
    "for one image has loaded the code before. If the work does not depend on the number of "
    "images, there is no such call, so the code counts, too. An allocator that keeps or reuses "
    "pages makes the figures uncertain by about 0.3 MB."
)


def command(
    op: OpsOption = None,
    threads: ThreadsOption = "",
    batch: BatchOption = 128,
    peers: Annotated[str, peers_option("numpy and torch, if installed")] = "",
    json: JsonOption = None,
) -> None:
    """Measure the memory that each kernel needs beside its arguments and results."""
    if not sys.platform.startswith("linux"):
        raise typer.BadParameter("the peak of a process can be reset on Linux alone")
    ops = chosen(",".join(op or []), OPS, "--op")
    contenders = contenders_of(peers, ("numpy", "torch"))
    run = Run({"command": "memory", "op": op, "batch": batch}, json)
    for count in threads_of(threads):
        run.begin(count)
        with Contest(contenders, count) as contest:
            results = []
            for case in CASES.values():
                if case.op in ops:
                    results.append(_measure(contest, contenders, case, batch))
                    typer.echo(case.name, err=True)
            run.keep(results, contest)
        run.console.print(_table(f"Memory, {describe_threads(count)}", results))
    run.end(LEGEND)


def _measure(contest: Contest, contenders: Sequence[Contender], case: Case, batch: int) -> Result:
    arrays = bytes_moved(case, batch, reference(case, batch))
    entries = []
    for contender in contenders:
        entry = Entry(contender.name)
        try:
            what = case.name, batch, not case.fixed
            entry.workspace, _ = contest.alone(contender, "memory", what)
        except WorkerError as error:
            entry.problem = f"FAILED: {error}"
        else:
            if entry.workspace is None:
                continue
        entries.append(entry)
    labels: dict[str, Any] = {"label": case.name, "op": case.op, "shape": case.shape}
    labels |= {"batch": None if case.fixed else batch, "group": case.op}
    return Result(labels, contest.threads, 0, entries, bytes=arrays)


def _table(title: str, results: Sequence[Result]) -> Text:
    names = contender_names(results)
    rows = []
    for result in results:
        entries = {entry.contender: entry for entry in result.entries}
        cells = [_cell(entries.get(name)) for name in names]
        rows.append((result.case["label"], _megabytes(result.bytes), *cells))
    return tables.aligned(title, ("kernel", "arrays", *names), rows)


def _cell(entry: Entry | None) -> str:
    if entry is None:
        return ""
    return (
        f"[bold red]{entry.failure}[/]" if entry.workspace is None else _megabytes(entry.workspace)
    )


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.1f} MB"
