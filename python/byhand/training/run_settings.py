"""Describe the settings of a run as JSON, and compare them with those of its resumption."""

from __future__ import annotations

import inspect
import json
import numbers
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from byhand.optim import Optimizer
from byhand.training.checked_data import DatasetLike

# --------------------------------------------------------------------------------------------------
# Description


def check_notes(notes: Any) -> dict[str, Any]:
    """Return notes as a dict of JSON values.

    Parameters
    ----------
    notes : mapping
        Values that JSON can hold.

    Returns
    -------
    dict
        The notes as they are read back from config.json. For example, tuples have become lists.

    Raises
    ------
    TypeError, ValueError
        If `notes` is not a mapping, or JSON cannot hold a value.
    """
    if not isinstance(notes, Mapping):
        raise TypeError(f"notes must be a dict, not {notes!r}")
    try:
        checked: dict[str, Any] = json.loads(json.dumps(dict(notes), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise type(error)(f"notes must be values that JSON can hold: {error}") from None
    return checked


def describe_source(data: DatasetLike) -> dict[str, str] | None:
    """Describe where a data set was read from.

    Parameters
    ----------
    data : data set or pair (images, labels)

    Returns
    -------
    dict or None
        The folder, name and checksum of `data.source`. None if `data` has no such source.
    """
    source = getattr(data, "source", None)
    fields = ("folder", "name", "checksum")
    if not all(isinstance(getattr(source, field, None), str) for field in fields):
        return None
    return {field: getattr(source, field) for field in fields}


def describe_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Describe an optimizer by its class and its current settings.

    Parameters
    ----------
    optimizer : Optimizer

    Returns
    -------
    dict of JSON values
    """
    return {"type": type(optimizer).__name__, **optimizer.settings()}


def describe(value: object) -> Any:
    """Describe a schedule or a loss as JSON.

    If two objects have the same class and equal settings, their descriptions are equal, also in
    different processes.

    Parameters
    ----------
    value : schedule, loss, or one of their settings

    Returns
    -------
    JSON value
        A number, a text, a bool or None is returned as it is. An object with settings becomes a
        dict with its class and its settings. Anything else, such as a function, becomes its repr.
    """
    settings = _settings(value)
    if settings and not inspect.isroutine(value):
        return {"type": type(value).__name__, **{k: describe(v) for k, v in settings.items()}}
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return float(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # addresses differ between processes


def _settings(value: object) -> dict[str, Any]:
    """Return the public attributes of an object, without arrays.

    An array may be a result for the last batch and not a setting.
    """
    attributes = getattr(value, "__dict__", {})
    return {
        name: v
        for name, v in attributes.items()
        if not name.startswith("_") and not isinstance(v, np.ndarray)
    }


# --------------------------------------------------------------------------------------------------
# Comparison

# Settings that may differ between the first run and its resumption. Most of them do not affect the
# results. The device and the number of processes change the rounding. The number of processes also
# changes what dropout draws, and over which images batch normalization takes its statistics.
FREE = ("byhand", "device", "threads", "processes", "notes", "epochs", "counts", "data")


def differences(
    old: dict[str, Any],
    new: dict[str, Any],
    form: str = "{name} was {old} and is {new}",
    free: Collection[str] = FREE,
) -> list[str]:
    """List the differences between the settings of a run and of its resumption.

    `Ranks.check_settings` compares the settings of two processes in the same way.

    Parameters
    ----------
    old, new : dict
        The content of config.json of the run, and the content that the resumed run would write.
    form : str
        The form of a sentence, with places for the name of the setting and its two values.
    free : collection of str
        The settings that may differ. They are not compared.

    Returns
    -------
    list of str
        A sentence for each difference.
    """
    for name in ("schedule", "loss"):  # earlier versions of byhand wrote the repr of these objects
        if isinstance(old.get(name), str) and old[name].replace("'", "") == _text(new[name]):
            old = {**old, name: new[name]}
    found = _differences(_comparable(old, new, free), _comparable(new, old, free))
    return [
        form.format(name=_WORDS.get(name, name), old=_short(before), new=_short(after))
        for name, before, after in found
    ]


def _comparable(
    config: Mapping[str, Any], other: Mapping[str, Any], free: Collection[str]
) -> dict[str, Any]:
    """Return the settings of `config` that must be equal in a run and in its resumption.

    `config` describes one of the two and `other` the other one. Settings in `free` may differ.
    """
    settings = {name: value for name, value in config.items() if name not in free}
    schedule, optimizer = settings.get("schedule"), settings.get("optimizer")
    if (schedule or other.get("schedule")) is not None and isinstance(optimizer, dict):
        # The schedule sets the learning rate in each step. So `lr` of the optimizer is the rate of
        # some step and not a setting.
        settings["optimizer"] = optimizer = {k: v for k, v in optimizer.items() if k != "lr"}
    if isinstance(optimizer, dict) and optimizer.get("type") == "SGD":
        settings["optimizer"] = {"dampening": 0.0, **optimizer}  # earlier versions had no dampening
    if config.get("epochs") != other.get("epochs") and isinstance(schedule, dict):
        # If the number of epochs differs, `total_steps` of a schedule over all epochs differs too.
        settings["schedule"] = {k: v for k, v in schedule.items() if k != "total_steps"}
    model = settings.get("model")
    if isinstance(model, dict) and isinstance(model.get("preprocessing"), dict):
        # The preparation of pictures for prediction does not affect training.
        preprocessing = {k: v for k, v in model["preprocessing"].items() if k != "pictures"}
        settings["model"] = {**model, "preprocessing": preprocessing}
    return settings


# The names of settings in error messages. A setting that is not in this table is called by its key.
_WORDS = {
    "augment": "the distortion of the images (augment)",
    "batch_size": "the batch size",
    "byhand": "the version of byhand",
    "crc32.train": "the checksum of the training data",
    "crc32.validation": "the checksum of the validation data",
    "ema": "the decay of the average of the weights (ema)",
    "epochs": "the number of epochs",
    "images": "the number of training images",
    "loss": "the loss",
    "loss.type": "the loss",
    "loss.label_smoothing": "the label smoothing",
    "max_shift": "the largest shift of the images (max_shift)",
    "model.class_names": "the list of class names",
    "optimizer.dampening": "the dampening of the gradient (dampening)",
    "optimizer.lr": "the learning rate",
    "optimizer.momentum": "the momentum",
    "optimizer.nesterov": "the use of Nesterov's momentum (nesterov)",
    "optimizer.type": "the optimizer",
    "optimizer.weight_decay": "the weight decay",
    "schedule": "the schedule of the learning rate",
    "schedule.lr": "the learning rate of the schedule",
    "schedule.max_lr": "the peak learning rate",
    "schedule.total_steps": "the number of steps of the schedule",
    "schedule.type": "the schedule of the learning rate",
    "seed": "the seed",
    "validation_images": "the number of validation images",
}


def _differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the name and both values for each difference between two JSON values.

    `name` is the path of keys to both values, such as "optimizer.lr".
    """
    both_lists = isinstance(old, list) and isinstance(new, list) and name not in _WORDS
    if isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type"):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif both_lists and len(old) == len(new):
        for i, parts in enumerate(zip(old, new, strict=True)):
            yield from _differences(*parts, f"{name}.{i}")
    elif old != new:
        yield name, old, new


def _short(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _text(value: Any) -> str:
    """Write a JSON value as a person would: OneCycle(max_lr=0.1, total_steps=9)."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, dict) and "type" in value:
        settings = {**value, **(value.get("arguments") or {})}
        settings = {k: v for k, v in settings.items() if k not in ("type", "arguments")}
        return f"{value['type']}({', '.join(f'{k}={_text(v)}' for k, v in settings.items())})"
    return value if isinstance(value, str) else json.dumps(value)
