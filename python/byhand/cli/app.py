"""The command line with all of its commands."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

import byhand
from byhand.cli import (
    convert,
    data,
    demo,
    evaluate,
    export,
    info,
    plot,
    predict,
    reproduce,
    simt,
    train,
)
from byhand.cli.help import Command, Group
from byhand.cli.output import announce, errors_end_the_command, say
from byhand.cli.values import convert_plainly

# These commands are apps of their own. They are imported when they are called or completed, so that
# no other command waits for their imports.
_APPS = {
    "bench": "byhand.bench.cli",
    "ladder": "byhand.bench.ladder",
    "record": "byhand.bench.record.command",
}

_WELCOME = """byhand trains networks that read handwritten digits. Three commands to begin with:

  byhand train lenet5             train a network on MNIST in about 15 seconds
  byhand predict RUN photo.png    read the digits in your own pictures
  byhand demo                     draw digits in the web browser, and see them read

RUN is the run folder that byhand train prints. byhand --help lists all commands."""


class _Group(Group):
    """The group of all commands. It turns the errors of every command into exit codes."""

    # Typer prints --help and --version here, while it reads the options. Printing may fail, too.
    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with errors_end_the_command():
            return super().make_context(*arguments, **options)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in _APPS:
            if not ctx.resilient_parsing and "--help" not in rest:  # not while Tab completes
                announce(f"preparing byhand {name}")
            with errors_end_the_command():
                app = import_module(_APPS[name]).app
            command = typer.main.get_command(_speak_plainly(app, Group))
            command.name = name
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        with errors_end_the_command():
            return super().invoke(ctx)


app = typer.Typer(
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    help="Train and use digit classifiers that run on hand-written kernels.",
)
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(predict.predict)
app.command()(demo.demo)
app.command()(plot.plot)
app.command()(export.export)
convert.add_to(data.app)
app.add_typer(data.app, name="data")
app.command()(reproduce.reproduce)
app.command()(simt.simt)
app.command()(info.info)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"byhand {byhand.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        say(_WELCOME)


# --help shows these commands. `_Group` replaces them by their apps.
@app.command()
def bench() -> None:
    """Time the kernels and the training, and NumPy and PyTorch too if they are installed."""


@app.command()
def ladder() -> None:
    """Run the steps from plain loops to the matrix product and the convolution of byhand."""


@app.command()
def record() -> None:
    """Repeat the records of byhand, such as the shortest time to 99 % on MNIST."""


def _speak_plainly(app: typer.Typer, group: type[Group]) -> typer.Typer:
    """Give an app and all of its commands our help pages and our error messages."""
    app.info.cls, app.rich_markup_mode = group, None
    convert_plainly(app)
    for command in app.registered_commands:
        command.cls = Command
    for below in app.registered_groups:
        if below.typer_instance is not None:
            _speak_plainly(below.typer_instance, Group)
    return app


_speak_plainly(app, _Group)
