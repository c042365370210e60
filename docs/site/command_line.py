"""The directive `command-line`: the --help of every command, as the commands print it."""

from collections.abc import Iterator
from typing import Any

import typer
from byhand.bench.cli import app as bench_app
from byhand.bench.ladder import app as ladder_app
from byhand.cli.app import _speak_plainly, app
from byhand.cli.help import Group
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# `byhand bench` and `byhand ladder` pass their words on to command lines of their own.
PASSED_ON = {"bench": bench_app, "ladder": ladder_app}


def pages(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    """Yield the name and the help page of a command and of all commands below it."""
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=80)
    yield context.command_path, command.get_help(context)
    for word, below in getattr(command, "commands", {}).items():
        if parent is None and word in PASSED_ON:
            other = typer.main.get_command(_speak_plainly(PASSED_ON[word], Group))
            yield from pages(other, f"{name} {word}")
        else:
            yield from pages(below, word, context)


class CommandLine(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        sections = []
        for name, text in pages(typer.main.get_command(app), "byhand"):
            section = nodes.section(ids=[nodes.make_id(name)], names=[name])
            section += nodes.title(name, name)
            section += nodes.literal_block(text, text, language="text")
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
