"""What the shell suggests for the values of options and arguments when a user presses Tab."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from byhand.training.run_folder import RunFolder


def beginnings(words: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a function that returns those of `words` that begin with a text.

    Parameters
    ----------
    words : iterable of str
        The values that an option can have.
    """
    known = list(words)

    def suggest(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return suggest


def runs(incomplete: str) -> list[str]:
    """Return the run folders in the folder runs whose path begins with a text.

    If there are none, the shell suggests files and folders.

    Parameters
    ----------
    incomplete : str
        The text.
    """
    folders = (path for path in Path("runs").glob("*") if RunFolder(path).config_path.is_file())
    return beginnings(sorted(map(str, folders)))(incomplete)
