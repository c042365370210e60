"""`byhand info`: what runs here, for reading and for bug reports."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import byhand
from byhand.cli.data import locate
from byhand.cli.output import say
from byhand.data.folder import cache_folder

_PACKAGES = ("numpy", "safetensors", "platformdirs", "typer", "rich", "pillow", "matplotlib")


def info() -> None:
    """Show versions, instruction sets, threads, and where the data is."""
    byhand.show_config()
    folder = locate(None)
    say(f"{'data':17} {folder or f'none yet: byhand data fetch puts it into {cache_folder()}'}")
    say(f"{'python':17} {platform.python_version()}, {platform.platform()}")
    for name in _PACKAGES:
        say(f"{name:17} {_version(name)}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
