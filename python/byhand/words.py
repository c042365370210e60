"""What users read: a sentence that many messages share, and an error of the plots."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PlotError(Exception):
    """matplotlib could not draw. Defined here, because importing matplotlib takes long."""


def not_one_of(value: str, known: Iterable[str]) -> str:
    """Say that `value` is not one of the names `known`, and which of them is closest to it."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(value.lower(), names, 1)
    hint = f" Did you mean {names[close[0]]}?" if close else ""
    return f"{value!r} is not one of {', '.join(names.values())}.{hint}"
