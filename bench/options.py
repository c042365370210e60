"""Options that the commands share, and what their texts mean."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer
from byhand.bench.peers import CONTENDERS, Contender, choose
from byhand.checks import not_one_of

MOST_THREADS = 256

PeersOption = Annotated[
    str,
    typer.Option(
        metavar="NAME,...",
        help=f"Contenders beside byhand: {', '.join(c.name for c in CONTENDERS[1:])}.",
        show_default="those installed",
    ),
]
ThreadsOption = Annotated[
    str,
    typer.Option(
        metavar="N,...",
        help="Numbers of threads; everything is measured with each.",
        show_default="1, and one per processor",
    ),
]
AllThreadsOption = Annotated[
    str,
    typer.Option(
        metavar="N,...",
        help="Numbers of threads; everything is measured with each.",
        show_default="one per processor",
    ),
]
RoundsOption = Annotated[int, typer.Option(min=1, help="Number of turns that each contender gets.")]
SecondsOption = Annotated[float, typer.Option(min=0, help="Length of one turn in seconds.")]
CompileOption = Annotated[
    bool, typer.Option("--compile", help="Include compiled PyTorch, which starts slowly.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder with MNIST or with your own images in the same files.",
        show_default="BYHAND_DATA, or else the cache",
    ),
]
JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", dir_okay=False, help="Also write all results into this file."
    ),
]


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def chosen(text: str, known: Collection[str], option: str) -> list[str]:
    """Those named, or all that are known, each once."""
    found = list(dict.fromkeys(names(text) or known))
    for name in found:
        if name not in known:
            raise typer.BadParameter(not_one_of(name, known), param_hint=option)
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
