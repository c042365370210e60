"""The command `byhand`. It needs the extra `cli`: pip install "byhand[cli]"."""

from __future__ import annotations

import sys
from typing import NoReturn

from byhand.checks import is_installed
from byhand.cli import streams

_NEEDS = ("typer", "rich", "PIL", "matplotlib")


def main() -> None:
    """Run the command line in sys.argv and exit.

    The exit code is 0 after success, 1 after a failure, 2 after wrong usage, 130 after Ctrl-C, and
    128 + N after any other signal N.
    """
    try:
        streams.prepare()
        if missing := [package for package in _NEEDS if not is_installed(package)]:
            sys.exit(
                "byhand: the command line needs packages that are not installed: "
                f'{", ".join(missing)}. Install them: pip install "byhand[cli]"'
            )
        from byhand.cli.app import app

        app(prog_name="byhand")
    except SystemExit as end:
        _exit(streams.corrected(end.code))
    except KeyboardInterrupt as interruption:  # during the imports, which take a while
        print("byhand: interrupted", file=sys.stderr)
        _exit(streams.exit_code(interruption))


def _exit(code: str | int | None) -> NoReturn:
    """Exit. If the command fails and is one of several processes, end the other processes, too."""
    mpi = sys.modules.get("byhand.mpi")  # None if the imports did not finish
    if mpi is not None and code:
        mpi.abort(code if isinstance(code, int) else 1)
    sys.exit(code)
