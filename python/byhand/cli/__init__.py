"""The command `byhand`. It needs the extra `cli`: pip install "byhand[cli]"."""

from __future__ import annotations

import sys
from importlib.util import find_spec

_NEEDS = ("typer", "rich", "PIL", "matplotlib")


def main() -> None:
    """Run the command line in sys.argv and exit: 0 done, 1 failed, 2 wrong usage, 130 Ctrl-C."""
    if not all(find_spec(name) for name in _NEEDS):
        sys.exit('byhand: the command line needs more packages: pip install "byhand[cli]"')
    from byhand.cli.app import app

    app(prog_name="byhand")
