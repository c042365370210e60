"""Every public name has a NumPy-style docstring that agrees with the signature.

A name is public if it does not begin with an underscore and is defined in one of the modules below.
numpydoc's own validation would check the same, but it needs all of Sphinx.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from byhand.cli.app import app
from typer.core import TyperCommand, TyperGroup

PACKAGE = Path(__file__).parents[1] / "python" / "byhand"

# Modules, and folders. A folder stands for all modules in it.
CHECKED = [
    "__init__.py",
    "checks.py",
    "cli",
    "cuda.py",
    "data",
    "engine",
    "export",
    "files",
    "models",
    "nn",
    "optim",
    "pictures",
    "plots",
    "reproduce",
    "runtime.py",
    "mpi.py",
    "sklearn.py",
    "training",
]

# The sections, in numpydoc's order.
SECTIONS = [
    "Parameters",
    "Attributes",
    "Returns",
    "Yields",
    "Raises",
    "Warns",
    "See Also",
    "Notes",
    "References",
    "Examples",
]


def modules() -> Iterator[Any]:
    for name in CHECKED:
        path = PACKAGE / name
        for file in [path] if path.suffix else sorted(path.rglob("*.py")):
            if file.name.startswith("_") and file.name != "__init__.py":
                continue  # it may need a package that is not installed
            parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            if name == "byhand.sklearn":
                try:
                    yield importlib.import_module(name)
                except ModuleNotFoundError:
                    continue  # scikit-learn is not installed
            else:
                yield importlib.import_module(name)


def public_names() -> dict[str, Any]:
    """Yield modules, functions and classes, and what each class itself defines, by full name."""
    found: dict[str, Any] = {}
    for module in modules():
        found[module.__name__] = module
        for name, value in vars(module).items():
            defined_here = getattr(value, "__module__", None) == module.__name__
            if name.startswith("_") or not defined_here or not callable(value):
                continue
            if not inspect.isclass(value) and not inspect.isfunction(value):
                continue
            found[f"{module.__name__}.{name}"] = value
            for member in vars(value) if inspect.isclass(value) else ():
                method = inspect.getattr_static(value, member)
                if isinstance(method, classmethod | staticmethod):
                    method = method.__func__
                if not member.startswith("_") and isinstance(
                    method, property | functools.cached_property | type(modules)
                ):
                    found[f"{module.__name__}.{name}.{member}"] = method
    return found


def commands(group: typer.Typer) -> list[Any]:
    """Return the functions of all commands of a command line."""
    below = [info.typer_instance for info in group.registered_groups]
    own = [info.callback for info in group.registered_commands]
    return own + [command for part in below if part is not None for command in commands(part)]


NAMES = public_names()
COMMANDS = commands(app)


def sections(doc: str) -> dict[str, list[str]]:
    """Return the lines of each section. "" has the lines before the first section."""
    found: dict[str, list[str]] = {"": []}
    current, lines = found[""], doc.splitlines()
    for line, underline in zip(lines, [*lines[1:], ""], strict=True):
        if line and re.fullmatch("-+", underline) and len(line) == len(underline):
            current = found[line] = []
        elif not re.fullmatch("-{3,}", line):
            current.append(line)
    return found


def arguments(function: Any) -> list[str]:
    """Return the names of the arguments, as the section Parameters writes them."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = inspect.signature(function).parameters.values()
    names = [stars.get(p.kind, "") + p.name for p in parameters]
    takes_self = not inspect.isclass(function) and names[:1] in (["self"], ["cls"])
    return names[1:] if takes_self else names


def documented(lines: list[str]) -> list[str]:
    """Return the names that a section describes: its lines without indentation."""
    heads = [line.split(" : ")[0] for line in lines if line and not line.startswith(" ")]
    return [name for head in heads for name in head.split(", ")]


def problems(value: Any) -> list[str]:
    """Return what is wrong with the docstring of a module, class, function or property."""
    # A method that overrides another may inherit its docstring; a class may not.
    doc = inspect.cleandoc(value.__doc__ or "") if inspect.isclass(value) else inspect.getdoc(value)
    if not doc:
        return ["has no docstring"]
    found = []
    parts = sections(doc)
    summary, *rest = doc.splitlines()
    if not summary.endswith((".", ":")) or (rest and rest[0]):
        found.append("must begin with a summary of one line, and a blank line after it")
    if unknown := [name for name in parts if name and name not in SECTIONS]:
        found.append(f"has unknown sections: {unknown}")
    known = [name for name in parts if name in SECTIONS]
    if known != sorted(known, key=SECTIONS.index):
        found.append(f"must have its sections in the order {sorted(known, key=SECTIONS.index)}")
    if inspect.ismodule(value) or isinstance(value, property | functools.cached_property):
        return found
    if inspect.isclass(value) and (
        issubclass(value, BaseException | enum.Enum | TyperCommand | TyperGroup)
        or getattr(value, "_is_protocol", False)
    ):
        return found  # nobody calls a protocol; the other classes inherit their parameters
    if value in COMMANDS:
        return found  # the docstring is the text of --help, and each option has its own text
    names = documented(parts.get("Parameters", []))
    if not names and (dataclasses.is_dataclass(value) or hasattr(value, "_fields")):
        names = documented(parts.get("Attributes", []))
    if names != arguments(value):
        found.append(f"describes the parameters {names}, but takes {arguments(value)}")
    if not inspect.isclass(value):
        returned = inspect.signature(value).return_annotation
        if not isinstance(returned, str):
            returned = inspect.formatannotation(returned).removeprefix("collections.abc.")
        returns = "Returns" in parts or "Yields" in parts or summary.startswith("Return ")
        if returned in ("None", "NoReturn") and returns:
            found.append("describes what it returns, but returns nothing")
        if returned not in ("None", "NoReturn", "Iterator[None]") and not returns:
            found.append("needs a section Returns, or a summary that begins with Return")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_docstring(name: str) -> None:
    found = problems(NAMES[name])
    assert not found, f"{name} {', and '.join(found)}"


def right(x: int, *rest: int) -> int:
    """Add integers.

    Parameters
    ----------
    x : int
        The first.
    *rest : int
        The others.

    Returns
    -------
    int
        The sum.
    """
    return sum(rest, x)


def wrong_name(x: int) -> int:
    """Return an integer.

    Parameters
    ----------
    y : int
        It.
    """
    return x


def undocumented(x: int) -> None:
    pass


def says_nothing_of_its_result(x: int) -> int:
    """Do something.

    Parameters
    ----------
    x : int
        It.
    """
    return x


def two_lines() -> None:
    """Do something
    and something else.
    """


def another_order(x: int) -> None:
    """Do something.

    Raises
    ------
    ValueError
        Always.

    Parameters
    ----------
    x : int
        It.
    """


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (right, ""),
        (wrong_name, r"describes the parameters \['y'\], but takes \['x'\]"),
        (undocumented, "has no docstring"),
        (says_nothing_of_its_result, "needs a section Returns"),
        (two_lines, "must begin with a summary of one line"),
        (another_order, r"in the order \['Parameters', 'Raises'\]"),
    ],
)
def test_the_check_finds_what_is_wrong(function: Any, problem: str) -> None:
    found = "; ".join(problems(function))
    assert re.search(problem, found) if problem else not found
