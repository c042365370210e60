"""Checks of arguments, and sentences that many messages share."""

from __future__ import annotations

import difflib
import math
import numbers
import operator
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


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


def form(x: object) -> str:
    """The shape of an array, or the type of anything else, for messages."""
    return f"of shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__


def with_batch(shape: tuple[int, ...]) -> str:
    """A shape with its batch axis, for messages."""
    return f"({', '.join(['N', *map(str, shape)])})"


def instance(name: str, value: object, kind: type[T]) -> T:
    """`value`; TypeError where it is not of this kind."""
    if not isinstance(value, kind):
        public = kind.__module__.rpartition(".")[0]  # the package, which exports the class
        wanted = f"{public}.{kind.__qualname__}"
        raise TypeError(f"{name} must be a {wanted}, not {type(value).__name__}")
    return value


def integer(name: str, value: Any, least: int) -> int:
    """`value` as an int; TypeError where it is not an integer, ValueError below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_):  # an old NumPy's bool is an index
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}")
    return number


def flag(name: str, value: Any) -> bool:
    """`value` as a bool; TypeError if it is neither True nor False, Python's or NumPy's."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def listed(value: Any) -> Any:
    """A NumPy array as a list, so that it may stand where a list may; anything else as it is."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def number(name: str, value: Any) -> float:
    """`value` as a float, NaN and infinity included; TypeError where it is not a real number."""
    if type(value) is float:
        return value  # at once: a schedule's rate is checked in every step
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """`value` as a float; TypeError or ValueError where it is not a finite number from 0 up."""
    checked = number(name, value)
    if not (checked >= 0 and math.isfinite(checked)):
        raise ValueError(f"{name} must be finite and not negative, not {value}")
    return checked


def as_path(name: str, value: Any) -> Path:
    """Return `value` as a path, with ~ as the home folder.

    Raises TypeError, with the argument's name, if it is not a path.
    """
    try:
        return Path(os.path.expanduser(value))  # unlike Path.expanduser it never fails
    except TypeError:
        raise TypeError(f"{name} must be a str or a pathlib.Path, not {value!r}") from None


def between(name: str, value: Any, least: float, most: float) -> float:
    """`value` as a float; TypeError or ValueError if it is not a number from `least` to `most`."""
    checked = number(name, value)
    if not least <= checked <= most:
        raise ValueError(f"{name} must be from {least:g} to {most:g}, not {value}")
    return checked
