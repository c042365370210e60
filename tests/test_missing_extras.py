"""The error if a package of an extra is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from byhand.checks import is_installed

# The module, the package that it needs, and the beginning and end of the error.
IMPORTS = [
    ("byhand.sklearn", "sklearn", "byhand.sklearn needs sklearn, ", "byhand[sklearn]"),
    ("byhand.pictures", "PIL", "byhand.pictures needs PIL, ", "byhand[pictures]"),
    ("byhand.demo", "starlette", "byhand.demo needs starlette, ", "byhand[demo]"),
    ("byhand.plots.curves", "matplotlib", "drawing needs matplotlib, ", "byhand[cli]"),
]
CODE = """
import importlib, sys, byhand
for module, package in zip(sys.argv[1::2], sys.argv[2::2]):
    sys.modules[package] = None
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        print(error)
"""


def test_a_missing_package_names_its_extra() -> None:
    names = [name for module, package, *_ in IMPORTS for name in (module, package)]
    command = [sys.executable, "-c", CODE, *names]
    lines = subprocess.check_output(command, text=True).splitlines()
    for line, (*_, start, extra) in zip(lines, IMPORTS, strict=True):
        assert line.startswith(start) and line.endswith(f'pip install "{extra}"'), line


def test_a_finder_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "nosuchpackage":
                raise ImportError(name)

    assert is_installed("numpy") and not is_installed("nosuchpackage")
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    assert is_installed("numpy") and not is_installed("nosuchpackage")
