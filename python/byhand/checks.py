"""Checks of arguments, and sentences that many messages share.

A check takes the name of an argument and its value. It returns the value in the type that the rest
of the package expects, or raises an error that names the argument and shows the value.
"""

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
    """Return the message that `value` is not one of some names, and which of them is closest to it.

    Parameters
    ----------
    value : str
        The unknown name.
    known : iterable of str
        The names that are allowed.
    """
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(value.lower(), names, 1)
    hint = f" Did you mean {names[close[0]]}?" if close else ""
    return f"{value!r} is not one of {', '.join(names.values())}.{hint}"


def channels_last(shape: tuple[int, ...]) -> str:
    """Return advice for images whose channels come last, or "" if they do not.

    Many programs keep images as (N, H, W, C). A shape is taken for that if the last axis has one to
    four entries and both axes before it have more than four: a colour image has at most four
    channels, and no image is so narrow.

    Parameters
    ----------
    shape : tuple of int
        The shape of an array of images.
    """
    if len(shape) != 4 or not 1 <= shape[3] <= 4 or min(shape[1:3]) <= 4:
        return ""
    advice = "images[..., 0]" if shape[3] == 1 else "images.transpose(0, 3, 1, 2)"
    return f"their channels are last; use np.ascontiguousarray({advice})"


def needs_extra(error: ModuleNotFoundError, feature: str, extra: str) -> ModuleNotFoundError:
    """Return an error that tells which extra to install for a missing package.

    Parameters
    ----------
    error : ModuleNotFoundError
        The error of the import that failed.
    feature : str
        What needs the package, as the message should call it.
    extra : str
        The extra of byhand that installs the package.
    """
    package = str(error.name).partition(".")[0]
    return ModuleNotFoundError(
        f'{feature} needs {package}, which is not installed: pip install "byhand[{extra}]"',
        name=error.name,
    )


def is_installed(package: str) -> bool:
    """Return whether Python finds a package.

    An import finder of another program may raise ImportError for a missing package. That counts as
    missing.

    Parameters
    ----------
    package : str
        The import name of the package.
    """
    try:
        return find_spec(package) is not None
    except ImportError:
        return False


def form(x: object) -> str:
    """Return the shape of an array, or the type of any other object, as words for a message.

    Parameters
    ----------
    x : object
        The object that an error is about.
    """
    return f"of shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__


def with_batch(shape: tuple[int, ...]) -> str:
    """Return the text of a shape with "N" as its batch axis, such as "(N, 1, 28, 28)".

    Parameters
    ----------
    shape : tuple of int
        The shape of one image or of one row.
    """
    return f"({', '.join(['N', *map(str, shape)])})"


def instance(name: str, value: object, kind: type[T]) -> T:
    """Check that a value is an instance of a class.

    Parameters
    ----------
    name : str
        The name of the argument.
    value : object
        Its value.
    kind : type
        The class that is expected.

    Returns
    -------
    object
        `value`, unchanged.

    Raises
    ------
    TypeError
        If `value` is not an instance of `kind`.
    """
    if not isinstance(value, kind):
        public = kind.__module__.rpartition(".")[0]  # the package, which exports the class
        wanted = f"{public}.{kind.__qualname__}"
        raise TypeError(f"{name} must be a {wanted}, not {type(value).__name__}")
    return value


def integer(name: str, value: Any, least: int) -> int:
    """Check that a value is an integer that is not too small.

    Parameters
    ----------
    name : str
        The name of the argument.
    value : int
        Its value. NumPy's integers count as integers, booleans do not.
    least : int
        The smallest value that is allowed.

    Returns
    -------
    int
        `value`.

    Raises
    ------
    TypeError
        If `value` is not an integer.
    ValueError
        If `value` is less than `least`.
    """
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
    """Check that a value is True or False.

    Parameters
    ----------
    name : str
        The name of the argument.
    value : bool
        Its value, Python's or NumPy's.

    Returns
    -------
    bool
        `value`.

    Raises
    ------
    TypeError
        If `value` is anything else, 0 and 1 included.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def listed(value: Any) -> Any:
    """Return a NumPy array as a list, and any other object unchanged.

    With it, an array may stand where a list may.

    Parameters
    ----------
    value : object
        The value of an argument.
    """
    return value.tolist() if isinstance(value, np.ndarray) else value


def number(name: str, value: Any) -> float:
    """Check that a value is a real number.

    Parameters
    ----------
    name : str
        The name of the argument.
    value : float
        Its value. NaN and infinity are numbers, booleans are not.

    Returns
    -------
    float
        `value`.

    Raises
    ------
    TypeError
        If `value` is not a real number.
    """
    if type(value) is float:
        return value  # the fast path: the rate of a schedule is checked in every step
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    return float(value)


def finite(name: str, value: Any) -> float:
    """Check that a value is a finite number.

    Parameters
    ----------
    name : str
        The name of the argument.
    value : float
        Its value.

    Returns
    -------
    float
        `value`.

    Raises
    ------
    TypeError
        If `value` is not a real number.
    ValueError
        If `value` is infinite or NaN.
    """
    checked = number(name, value)
    if not math.isfinite(checked):
        raise ValueError(f"{name} must be finite, not {value}")
    return checked


def not_negative(name: str, value: Any) -> float:
    """Check that a value is a finite number of at least 0.

    Parameters
    ----------
    name : str
        The name of the argument.
    value : float
        Its value.

    Returns
    -------
    float
        `value`.

    Raises
    ------
    TypeError
        If `value` is not a real number.
    ValueError
        If `value` is negative, infinite or NaN.
    """
    checked = number(name, value)
    if not (checked >= 0 and math.isfinite(checked)):
        raise ValueError(f"{name} must be finite and not negative, not {value}")
    return checked


def between(name: str, value: Any, least: float, most: float) -> float:
    """Check that a value is a number in an interval.

    Parameters
    ----------
    name : str
        The name of the argument.
    value : float
        Its value.
    least, most : float
        The ends of the interval, which belong to it.

    Returns
    -------
    float
        `value`.

    Raises
    ------
    TypeError
        If `value` is not a real number.
    ValueError
        If `value` lies outside the interval, or is NaN.
    """
    checked = number(name, value)
    if not least <= checked <= most:
        raise ValueError(f"{name} must be from {least:g} to {most:g}, not {value}")
    return checked


def as_path(name: str, value: Any) -> Path:
    """Check that a value is a path.

    Parameters
    ----------
    name : str
        The name of the argument.
    value : str or os.PathLike
        Its value.

    Returns
    -------
    pathlib.Path
        The path, in which a leading ~ is replaced by the home folder.

    Raises
    ------
    TypeError
        If `value` is not a path.
    """
    try:
        return Path(os.path.expanduser(value))  # unlike Path.expanduser, it never fails
    except TypeError:
        raise TypeError(f"{name} must be a str or a pathlib.Path, not {value!r}") from None
