"""Read the settings of `byhand train` from a run folder, and check them as options are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from byhand.checks import flag, integer, not_negative, not_one_of, number
from byhand.nn.initializers import INITIALIZERS
from byhand.optim import OPTIMIZERS
from byhand.optim.averages import check_decay
from byhand.training.augmentation import Warp
from byhand.training.recipes import RECIPES, SCHEDULE_NAMES


def stored_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of `byhand train` in a run's config.json, in the form of `Job.settings`.

    Parameters
    ----------
    config : mapping
        The content of config.json.

    Raises
    ------
    TypeError or ValueError
        If there are no settings, if one has an impossible value, or if one differs from the value
        that the trainer wrote into the same file.
    """
    job = (config.get("notes") or {}).get("job")
    if not isinstance(job, dict):
        raise ValueError("notes.job is missing")
    if job.get("model") is None:
        raise ValueError("notes.job names no model")
    for name, value in job.items():
        if value is not None and name in _CHECKS:
            _CHECKS[name](name, value)
        if name in _WRITTEN_TWICE and name in config and config[name] != value:
            raise ValueError(f"notes.job.{name} is {value!r}, but {name} is {config[name]!r}")
    return job


def _whole(least: int) -> Callable[[str, Any], object]:
    return lambda name, value: integer(name, value, least)


def _one_of(known: Iterable[str]) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if value not in list(known):
            raise ValueError(f"{name}: {not_one_of(str(value), known)}")

    return check


def _share(name: str, value: Any) -> None:
    if not 0 <= number(name, value) <= 1:
        raise ValueError(f"{name} must be from 0 to 1, not {value}")


def _part(name: str, value: Any) -> None:
    if not 0 < number(name, value) < 1:
        raise ValueError(f"{name} must be between 0 and 1, not {value}")


def _texts(name: str, value: Any) -> None:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise TypeError(f"{name} must be a list of strings, not {value!r}")


def _widths(name: str, value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise TypeError(f"{name} must be a list of whole numbers, not {value!r}")
    for width in value:
        integer(name, width, 1)


def _warp(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be a table of strengths, not {value!r}")
    try:
        Warp(**value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {value!r}")


# The check of each setting. It takes the name and the value, and raises TypeError or ValueError.
_CHECKS: dict[str, Callable[[str, Any], object]] = {
    "model": _one_of(RECIPES),
    "epochs": _whole(1),
    "batch_size": _whole(1),
    "seed": _whole(0),
    "max_shift": _whole(0),
    "augment": _warp,
    "lr": not_negative,
    "momentum": not_negative,
    "nesterov": flag,
    "weight_decay": not_negative,
    "method": _one_of(OPTIMIZERS),
    "schedule_name": _one_of(SCHEDULE_NAMES),
    "hidden": _widths,
    "init": _one_of(INITIALIZERS),
    "label_smoothing": _share,
    "validation": _part,
    "ema": lambda _, value: check_decay(value),
    "class_names": _texts,
    "start": _text,
}
# Settings that the trainer also writes into config.json.
_WRITTEN_TWICE = ("epochs", "batch_size", "seed", "max_shift", "augment", "ema")
