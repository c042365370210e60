"""The command `byhand demo`."""

from __future__ import annotations

import errno
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from byhand.cli.completion import runs
from byhand.cli.data import preparation
from byhand.cli.evaluate import EpochOption
from byhand.cli.options import PicturesOption
from byhand.cli.output import announce, fail, say
from byhand.cli.stored_model import load_model, newest_run
from byhand.cli.streams import Terminated

if TYPE_CHECKING:
    import socket


def demo(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="A run folder or a .safetensors file.",
            show_default="the newest run in the folder runs",
            autocompletion=runs,
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port of the page. 0 takes any free port."),
    ] = 8000,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the web browser.")
    ] = False,
    epoch: EpochOption = None,
    pictures: PicturesOption = None,
) -> None:
    """Draw digits on a page in the web browser, and see how the model reads them.

    The page shows the answer while you draw, how the drawing is prepared, what the convolutions
    compute, and the multiplications behind each value. It is served on this computer alone and
    loads nothing from the internet. Ctrl-C ends the command.
    """
    path = _named(model)
    network, which = load_model(path, epoch)
    announce(f"starting the page for {path}")
    from byhand.demo import Reader, listen, serve

    reader = Reader(network, str(path), preparation(network, pictures).value)
    with _listening(listen, port) as opened:
        address = f"http://127.0.0.1:{opened.getsockname()[1]}/"
        say(f"model {path}{f', {which}' if which else ''}")
        say(f"Open {address} in a web browser. Ctrl-C ends the command.")
        if open_page:
            webbrowser.open(address)
        try:
            serve(reader, opened)
        except Terminated:  # SIGTERM or SIGHUP
            raise
        except KeyboardInterrupt:  # Ctrl-C is the usual end of this command, not a failure
            say()


def _named(model: Path | None) -> Path:
    """Return the path of the model or, if none is named, of the newest run."""
    path = newest_run() if model is None else model
    if path is None:
        raise typer.BadParameter(
            "there is no trained run in the folder runs: train a model with byhand train lenet5, "
            "or name a run folder or a .safetensors file",
            param_hint="MODEL",
        )
    return path


def _listening(listen: Callable[[int], socket.socket], port: int) -> socket.socket:
    try:
        return listen(port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            fail(f"port {port} is in use: choose another one with --port N, or any with --port 0")
        if error.errno == errno.EACCES:
            fail(f"port {port} is not permitted: choose one of 1024 or more with --port N")
        raise
