"""The command line with all of its commands."""

from __future__ import annotations

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
from byhand.cli.output import errors_end_the_command, say
from byhand.cli.values import convert_plainly


class _Group(Group):
    """The group of all commands. It turns the errors of every command into exit codes."""

    # Typer prints --help and --version here, while it reads the options. Printing may fail, too.
    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with errors_end_the_command():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with errors_end_the_command():
            return super().invoke(ctx)


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
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
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


# The benchmarks have their own command lines with their own --help. These commands import them and
# pass all words on to them.
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_PASS_ON)
def bench(context: typer.Context) -> None:
    """Time the kernels and the training, and NumPy and PyTorch too if they are installed."""
    from byhand.bench.cli import app as bench_app

    _speak_plainly(bench_app, Group)(context.args, prog_name="byhand bench")


@app.command(context_settings=_PASS_ON)
def ladder(context: typer.Context) -> None:
    """Run the steps from plain loops to the matrix product and the convolution of byhand."""
    from byhand.bench.ladder import app as ladder_app

    _speak_plainly(ladder_app, Group)(context.args, prog_name="byhand ladder")


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
