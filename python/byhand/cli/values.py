"""Convert the text of an option to its value, and explain in plain words if that is not possible.

Typer also converts values, but its messages and its help name types ("Input should be a valid
integer", "<int range>") and change from version to version. Every option therefore gets a converter
of this module.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo, ParameterInfo

from byhand.checks import not_one_of
from byhand.cli.completion import beginnings

_METAVARS = {int: "N", float: "X", str: "TEXT", Path: "PATH"}

# The largest number of characters of a wrong number that a message shows.
_SHOWN = 40


def convert_plainly(app: typer.Typer) -> None:
    """Give every option and argument of an app's commands a converter of this module.

    Parameters
    ----------
    app : typer.Typer
        The app. Its groups are not converted.
    """
    for command in app.registered_commands:
        if command.callback is None:
            continue
        # If the annotations stayed strings, typer would resolve them again, to objects that do not
        # have our converters. They are therefore replaced by the resolved ones.
        hints = get_type_hints(command.callback, include_extras=True)
        for name, hint in hints.items():
            for info in getattr(hint, "__metadata__", ()):
                if isinstance(info, ParameterInfo):
                    kind = _single_type(get_args(hint)[0])
                    _prepare(info, kind)
                    if issubclass(kind, Enum):  # older versions of typer would convert twice
                        hints[name] = Annotated[str, info]
        command.callback.__annotations__ = hints


def _single_type(hint: Any) -> Any:
    """Return the type X of an annotation X, X | None, list[X] or list[X] | None."""
    while get_origin(hint) is not None:
        hint = next(part for part in get_args(hint) if part is not type(None))
    return hint


def _prepare(info: ParameterInfo, kind: Any) -> None:
    """Give an option its converter. An option that several commands share may already have one."""
    if kind is bool or info.parser is not None:
        return
    if info.metavar is None and isinstance(info, OptionInfo):
        info.metavar = _METAVARS.get(kind, "NAME")
    if kind in (int, float):
        info.parser = _number_parser(kind, info.min, info.max)
        info.min = info.max = None
    elif issubclass(kind, Enum):
        info.parser = _choice_parser(kind)
        info.autocompletion = beginnings(str(member.value) for member in kind)
    elif kind is Path:
        info.parser = _path_parser(info.file_okay, info.dir_okay)


def _number_parser(
    kind: type[int] | type[float], low: float | None, high: float | None
) -> Callable[[Any], Any]:
    noun = "a whole number" if kind is int else "a number"

    def parse(text: Any) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        shown = text if len(str(text)) <= _SHOWN else f"{text[:_SHOWN]}..."
        if value is None or (kind is float and not math.isfinite(value)):
            raise typer.BadParameter(f"{shown!r} is not {noun}.")
        if (low is not None and value < low) or (high is not None and value > high):
            limits = f"at least {low}" if high is None else f"from {low} to {high}"
            raise typer.BadParameter(f"{shown} is not possible: it must be {noun}, {limits}.")
        if kind is int and high is None and value > sys.maxsize:
            raise typer.BadParameter(f"{shown} is too large.")
        return value

    return parse


def _choice_parser(kind: type[Enum]) -> Callable[[Any], Any]:
    def parse(text: Any) -> Any:
        try:
            return kind(text)
        except ValueError:
            names = [str(member.value) for member in kind]
            raise typer.BadParameter(not_one_of(text, names)) from None

    return parse


def _path_parser(file_okay: bool, dir_okay: bool) -> Callable[[Any], Path]:
    def parse(text: Any) -> Path:
        if not os.fspath(text):
            raise typer.BadParameter("the path is empty.")
        try:
            path = Path(text).expanduser()  # the shell does not expand the ~ in --out=~/x
        except RuntimeError:
            raise typer.BadParameter(f"{str(text)!r}: this user has no home folder.") from None
        if not file_okay and os.path.exists(path) and not os.path.isdir(path):
            kind = "a file" if os.path.isfile(path) else "a device, a pipe or a socket"
            raise typer.BadParameter(f"{str(text)!r} is {kind}. It must be a folder.")
        if not dir_okay and path.is_dir():
            raise typer.BadParameter(f"{str(text)!r} is a folder. It must be a file.")
        return path

    return parse
