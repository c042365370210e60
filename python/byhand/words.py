"""Sentences that error messages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def not_one_of(value: str, known: Iterable[str]) -> str:
    """Say that `value` is not one of the names `known`, and which of them is closest to it."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(value.lower(), names, 1)
    hint = f" Did you mean {names[close[0]]}?" if close else ""
    return f"{value!r} is not one of {', '.join(names.values())}.{hint}"
