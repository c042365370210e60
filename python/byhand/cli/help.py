"""The pages of --help: plain text, 80 columns wide, and the same with every version of typer."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from typer.core import TyperCommand, TyperGroup


class _PlainHelp:
    """Replaces the parts of typer's help pages that show types, brackets and cut-off sentences."""

    params: list[Any]
    help: str | None

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line after the name of the command.

        Parameters
        ----------
        ctx : typer.Context
            The context of the command.
        """
        pieces = ["[OPTIONS]"]
        for param in self.params:
            if param.param_type_name == "argument":
                name = _name(param).removesuffix("...") + ("..." if param.nargs == -1 else "")
                pieces.append(name if param.required else f"[{name}]")
        return pieces

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the whole first paragraph of the help text.

        Parameters
        ----------
        limit : int
            Typer's largest number of characters. It is ignored.
        """
        return " ".join(inspect.cleandoc(self.help or "").partition("\n\n")[0].split())

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the tables of arguments and options.

        Parameters
        ----------
        ctx : typer.Context
            The context of the command.
        formatter : click.HelpFormatter
            Collects the text.
        """
        params = [p for p in self.get_params(ctx) if not p.hidden]  # type: ignore[attr-defined]
        for kind in ("argument", "option"):
            rows = [(_name(p), _text(p)) for p in params if p.param_type_name == kind]
            if rows:
                with formatter.section(f"{kind.title()}s"):
                    formatter.write(_table(rows, formatter.width))


class Command(_PlainHelp, TyperCommand):
    """A command with a plain help page."""


class Group(_PlainHelp, TyperGroup):
    """A group of commands with a plain help page."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "COMMAND", "..."]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


def _name(param: Any) -> str:
    """Return what the table shows as the name: MODEL, --epochs N, --nesterov / --no-nesterov."""
    if param.param_type_name == "argument":
        return str(param.metavar or param.name.upper())
    names = " / ".join([*param.opts, *param.secondary_opts])
    return names if param.is_flag else f"{names} {param.metavar}"


def _table(rows: list[tuple[str, str]], width: int) -> str:
    """Lay out names and texts in two columns. Break lines at spaces only, not at hyphens."""
    indent = 4 + max(len(name) for name, _ in rows)
    lines = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, width - indent, break_on_hyphens=False) or [""]
        lines += [f"  {name:{indent - 2}}{wrapped[0]}"]
        lines += [" " * indent + line for line in wrapped[1:]]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _text(param: Any) -> str:
    default = param.show_default
    if not isinstance(default, str):
        known = default and param.default is not None and not getattr(param, "is_flag", False)
        default = str(getattr(param.default, "value", param.default)) if known else ""
    return f"{param.help or ''}{f' Default: {default}.' if default else ''}".strip()
