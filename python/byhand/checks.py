"""Checks of arguments, and functions that make the text of error messages.

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
    """Return the message that `value` is not one of the known names. Suggest the closest name.

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
    """Return advice if the channels of images seem to be the last axis, otherwise "".

    Many programs store images as (N, H, W, C). This function assumes that order if the length of
    the last axis is from 1 to 4, and both axes before it are longer than 4. A colour image has at
    most four channels, and hardly any image is only four pixels high or wide.

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
        The feature that needs the package. The message begins with this text.
    extra : str
        The name of the extra of byhand that installs the package.
    """
    package = str(error.name).partition(".")[0]
    return ModuleNotFoundError(
        f'{feature} needs {package}, which is not installed: pip install "byhand[{extra}]"',
        name=error.name,
    )


def is_installed(package: str) -> bool:
    """Return whether Python finds a package.

    Python asks all import hooks. If the hook of another package raises ImportError, the result is
    False.

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
    """Return the shape of an array, or the type of any other object, as text for a message.

    Parameters
    ----------
    x : object
        The object that an error is about.
    """
    shape = getattr(x, "shape", None)  # a DeviceArray has one, too
    is_array = isinstance(shape, tuple) and not isinstance(x, np.generic)
    return f"of shape {shape}" if is_array else type(x).__name__


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
        The value of the argument.
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
        The value of the argument. NumPy's integers are allowed, booleans are not.
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
        checked = operator.index(value)
    except TypeError:
        checked = None
    # operator.index accepts Python's bool, and the bool of old versions of NumPy.
    if checked is None or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if checked < least:
        raise ValueError(f"{name} must be at least {least}, not {checked}")
    return checked


def flag(name: str, value: Any) -> bool:
    """Check that a value is True or False.

    Parameters
    ----------
    name : str
        The name of the argument.
    value : bool
        The value of the argument. Python's and NumPy's booleans are allowed.

    Returns
    -------
    bool
        `value`.

    Raises
    ------
    TypeError
        If `value` is anything else. The integers 0 and 1 are not allowed either.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def listed(value: Any) -> Any:
    """Return a NumPy array as a list, and any other object unchanged.

    A check that calls this function accepts an array wherever it accepts a list.

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
        The value of the argument. NaN and infinity are allowed, booleans are not.

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
        return value  # a shortcut, because the learning rate is checked in every step
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
        The value of the argument.

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
        The value of the argument.

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
    """Check that a value is a number from `least` to `most`.

    Parameters
    ----------
    name : str
        The name of the argument.
    value : float
        The value of the argument.
    least, most : float
        The smallest and the largest value that are allowed.

    Returns
    -------
    float
        `value`.

    Raises
    ------
    TypeError
        If `value` is not a real number.
    ValueError
        If `value` is less than `least`, greater than `most` or NaN.
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
        The value of the argument.

    Returns
    -------
    pathlib.Path
        The path. A leading ~ is replaced by the home folder.

    Raises
    ------
    TypeError
        If `value` is not a path.
    """
    try:
        # If the home folder is unknown, this function keeps the ~. Path.expanduser would raise an
        # error.
        return Path(os.path.expanduser(value))
    except TypeError:
        raise TypeError(f"{name} must be a str or a pathlib.Path, not {value!r}") from None
