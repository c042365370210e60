"""The directive `command-line`: the --help of every command, as the commands print it."""

from collections.abc import Iterator
from typing import Any

import typer
from byhand.cli.app import app
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def pages(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    """Yield the name and the help page of a command and of all commands below it."""
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=80)
    yield context.command_path, command.get_help(context)
    for word in getattr(command, "commands", {}):
        _, below, _ = command.resolve_command(context, [word])
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
