"""The command `byhand simt`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from byhand.cli.completion import beginnings
from byhand.cli.output import announce, say, warn
from byhand.simt import SimtError, run
from byhand.simt.program import SCHEDULES


def simt(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A .cu file.")
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARGS", help="Arguments of the program, after --.", show_default="none"
        ),
    ] = None,
    schedule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Order in which the threads of a block take their turns: forward, reverse, "
            "odd-even, or a number, which is the seed of a random order. May be repeated.",
            show_default="one run for each of the three",
            autocompletion=beginnings(SCHEDULES),
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="A __syncthreads() after a thread of the block has ended is a fault."
        ),
    ] = False,
    seconds: Annotated[
        int, typer.Option(min=1, help="Longest time of one kernel, in seconds of processor time.")
    ] = 60,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the findings as JSON, one object per line. What the program prints goes "
            "to the standard error.",
        ),
    ] = False,
) -> None:
    """Run a CUDA program on an emulator of a GPU, and find its faults.

    The program needs no GPU and no CUDA toolkit, only a C++ compiler. The emulator finds races,
    barriers that not all threads reach, wrong masks, reads of memory that nobody has written,
    accesses outside of arrays and more. It runs the program once per schedule. The first finding
    ends the program. The exit code is 0 if the program ends with 0 and nothing was found, and 1
    otherwise.
    """
    for name in schedule or ():
        if name not in SCHEDULES and not name.isdecimal():
            raise typer.BadParameter(
                f"{name!r} must be forward, reverse, odd-even or a number", param_hint="--schedule"
            )
    announce(f"compiling {source}")
    try:
        outcome = run(
            source,
            arguments or (),
            schedules=schedule or SCHEDULES,
            strict=strict,
            seconds=seconds,
            output=sys.stderr.fileno() if as_json else None,
        )
    except SimtError as error:
        warn(str(error))
        raise typer.Exit(1) from None
    for finding in outcome.findings:
        if as_json:
            say(json.dumps(finding))
        elif finding["kind"] == "schedule":
            warn(f"simt: schedule: {finding['message']}")
    if outcome.status != 0 and not outcome.findings:
        warn(f"the program ended with the exit status {outcome.status}")
    if not outcome.is_clean:
        raise typer.Exit(1)
