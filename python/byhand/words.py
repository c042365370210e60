"""Sentences that many messages share, and the error of plots."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib.util import find_spec

# The formats that plots can be written in, by the ends of the names of files.
PLOT_FORMATS = (".png", ".pdf", ".svg")


class PlotError(Exception):
    """matplotlib could not draw. Defined here, because importing matplotlib takes long."""


def not_one_of(value: str, known: Iterable[str]) -> str:
    """Say that `value` is not one of the names `known`, and which of them is closest to it."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(value.lower(), names, 1)
    hint = f" Did you mean {names[close[0]]}?" if close else ""
    return f"{value!r} is not one of {', '.join(names.values())}.{hint}"


def channels_last(shape: tuple[int, ...]) -> str:
    """Advice for images whose channels come last, or nothing if they are in byhand's order.

    Images (N, H, W, 1) to (N, H, W, 4) have their channels last, as other programs have them, two
    or four of them with transparency: no image has more than four channels and is so narrow.
    """
    if len(shape) != 4 or not 1 <= shape[3] <= 4 or min(shape[1:3]) <= 4:
        return ""
    advice = "images[..., 0]" if shape[3] == 1 else "images.transpose(0, 3, 1, 2)"
    return f"their channels are last; use np.ascontiguousarray({advice})"


def needs_extra(error: ModuleNotFoundError, feature: str, extra: str) -> ModuleNotFoundError:
    """Name the extra that brings what `feature` could not import."""
    package = str(error.name).partition(".")[0]
    return ModuleNotFoundError(
        f'{feature} needs {package}, which is not installed: pip install "byhand[{extra}]"',
        name=error.name,
    )


def is_installed(package: str) -> bool:
    """Whether a package is found. Finders of other programs may raise ImportError if it is not."""
    try:
        return find_spec(package) is not None
    except ImportError:
        return False
