"""Options that several commands have, and the functions that read their texts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from byhand.bench import isa
from byhand.bench.peers import CONTENDERS, Contender, choose
from byhand.bench.run import check_folder
from byhand.bench.tasks import MODELS
from byhand.checks import not_one_of
from byhand.nn import ACTIVATIONS
from byhand.plots.formats import PLOT_FORMATS
from byhand.runtime import config

MOST_THREADS = 256


def _list_option(metavar: str, help: str, default: str) -> Any:
    """Return an option that takes several values, separated by commas."""
    return typer.Option(metavar=f"{metavar},...", help=help, show_default=default)


def peers_option(default: str) -> Any:
    names = ", ".join(contender.name for contender in CONTENDERS[1:])
    return _list_option("NAME", f"Contenders beside byhand: {names}.", default)


def groups_option(known: Collection[str]) -> Any:
    return _list_option("NAME", f"Groups of shapes: {', '.join(known)}.", "all")


def _threads_option(default: str) -> Any:
    return _list_option(
        "N", "Numbers of threads. Everything is measured with each of them.", default
    )


PeersOption = Annotated[str, peers_option("those installed")]
ThreadsOption = Annotated[str, _threads_option("1, and one per processor")]
AllThreadsOption = Annotated[str, _threads_option("one per processor")]
ThreadCountOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=MOST_THREADS, help="Number of threads.", show_default="one per processor"
    ),
]
SeedsOption = Annotated[int, typer.Option(min=1, help="Number of seeds to train with.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Images per call.")]
OpsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A kernel of byhand.kernels. May be given several times.",
        show_default="all",
    ),
]
ModelsOption = Annotated[
    str, _list_option("NAME", f"Networks to time: {', '.join(MODELS)}.", "all")
]
ActivationOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"{', '.join(ACTIVATIONS)}.",
        show_default="relu in mlp, tanh in lenet5",
    ),
]
RoundsOption = Annotated[int, typer.Option(min=1, help="Number of turns that each contender gets.")]
SecondsOption = Annotated[float, typer.Option(min=0, help="Length of one turn in seconds.")]
CompileOption = Annotated[
    bool, typer.Option("--compile", help="Include compiled PyTorch, which starts slowly.")
]
SyntheticOption = Annotated[bool, typer.Option(help="Use random images instead of MNIST.")]
DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder with MNIST, or with your own images in files of the same format.",
        show_default="BYHAND_DATA, or else the cache",
    ),
]
IsaOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"Hold byhand and all other contenders to an instruction set: {', '.join(isa.NAMES)}.",
        show_default="the best one of each",
        is_eager=True,  # before the contenders are chosen
        callback=lambda name: _hold(name),
    ),
]
JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", dir_okay=False, help="Also write all results into this file."
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE.svg", dir_okay=False, help="Also draw a chart into this file."),
]


def check_plot(path: Path | None) -> None:
    """Refuse, before measuring, a file of an unknown format or one that cannot be written."""
    if path is None:
        return
    if path.suffix.lower() not in PLOT_FORMATS:
        formats = ", ".join(PLOT_FORMATS)
        raise typer.BadParameter(f"{path} must end in {formats}.", param_hint="--plot")
    check_folder(path)


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def chosen(text: str, known: Collection[str], option: str) -> list[str]:
    """Return the names in the text without duplicates, or all known names if it has none."""
    found = list(dict.fromkeys(names(text) or known))
    for name in found:
        if name not in known:
            raise typer.BadParameter(not_one_of(name, known), param_hint=option)
    return found


def networks_of(models: str, activation: str) -> dict[str, str]:
    """Return the activation of each chosen network, by the network's name."""
    if activation and activation not in ACTIVATIONS:
        raise typer.BadParameter(not_one_of(activation, ACTIVATIONS), param_hint="--activation")
    return {name: activation or MODELS[name] for name in chosen(models, MODELS, "--models")}


def counts_of(text: str, default: Sequence[int], largest: int, option: str) -> list[int]:
    """Return the numbers in the text, from 1 to `largest`, without duplicates."""
    try:
        found = [int(name) for name in names(text)] or list(default)
    except ValueError:
        found = [0]
    if not all(1 <= count <= largest for count in found):
        message = f"{text!r} must be whole numbers from 1 to {largest}, separated by commas"
        raise typer.BadParameter(message, param_hint=option)
    return list(dict.fromkeys(found))


def all_threads() -> int:
    """Return one thread per usable processor, but at most MOST_THREADS."""
    return min(MOST_THREADS, int(config()["usable_cpus"]))


def threads_of(text: str, default: Sequence[int] | None = None) -> list[int]:
    """Return the numbers of threads in the text, or the default.

    If `default` is None, the default is 1 and `all_threads()`.
    """
    default = [1, all_threads()] if default is None else default
    return counts_of(text, default, MOST_THREADS, "--threads")


def contenders_of(
    text: str, default: Collection[str] | None = None, also: Sequence[str] = ()
) -> list[Contender]:
    """Return byhand and the contenders in the text, or the installed ones in `default`.

    If --isa was given, the contenders that cannot be held to it are left out, with a message.
    """
    try:
        found = choose(names(text), default, also)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--peers") from None
    if isa.held():
        for contender in found:
            if contender.name in isa.CANNOT_BE_HELD:
                message = f"{contender.name} cannot be held to {isa.held()} and is left out"
                typer.echo(message, err=True)
        found = [contender for contender in found if contender.name not in isa.CANNOT_BE_HELD]
    return found


def _hold(name: str) -> str:
    """Hold this process, and the contenders that it starts, to the instruction set of --isa."""
    if name:
        try:
            isa.hold(name)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--isa") from None
    return name
