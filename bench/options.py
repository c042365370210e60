"""Options that the commands share, and what their texts mean."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer
from byhand.bench.peers import CONTENDERS, Contender, choose

MOST_THREADS = 256

PeersOption = Annotated[
    str,
    typer.Option(
        metavar="NAME,...",
        help="Contenders besides byhand: " + ", ".join(c.name for c in CONTENDERS[1:]),
        show_default="those installed",
    ),
]
ThreadsOption = Annotated[str, typer.Option(metavar="N,...", show_default="1 and all processors")]
RoundsOption = Annotated[int, typer.Option(min=1, help="Turns of each contender.")]
SecondsOption = Annotated[float, typer.Option(min=0, help="Length of a turn.")]
CompileOption = Annotated[
    bool, typer.Option("--compile", help="PyTorch compiled as well: starts slowly.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder with MNIST or your own images.",
        show_default="where byhand.data.mnist finds it",
    ),
]
JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", dir_okay=False, help="Write everything there."),
]


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def chosen(text: str, known: Collection[str], option: str) -> list[str]:
    """Those named, or all that are known, each once."""
    found = list(dict.fromkeys(names(text) or known))
    for name in found:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is not of {', '.join(known)}", param_hint=option)
    return found


def counts_of(text: str, default: Sequence[int], most: int, option: str) -> list[int]:
    """Numbers from 1 to `most`, each once."""
    try:
        found = [int(name) for name in names(text)] or list(default)
    except ValueError:
        found = [0]
    if not all(1 <= count <= most for count in found):
        raise typer.BadParameter(f"{text!r} is not numbers from 1 to {most}", param_hint=option)
    return list(dict.fromkeys(found))


def threads_of(text: str, default: Sequence[int]) -> list[int]:
    return counts_of(text, default, MOST_THREADS, "--threads")


def contenders_of(text: str, also: Sequence[str] = ()) -> list[Contender]:
    try:
        return choose(names(text), also)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--peers") from None
