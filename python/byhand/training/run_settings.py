"""The settings of a run and of its continuation, compared in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

# Settings that may differ between the first run and its resumption, because they do not affect the
# results.
FREE = ("byhand", "threads", "notes", "epochs", "counts", "data")


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a sentence for each setting in which a run must not differ from its continuation.

    old, new: what config.json holds for the run and for its continuation.
    """
    for name in ("schedule", "loss"):  # earlier versions wrote their repr
        if isinstance(old.get(name), str) and old[name].replace("'", "") == _text(new[name]):
            old = {**old, name: new[name]}
    return list(_differences(_comparable(old, new), _comparable(new, old)))


def _comparable(config: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in which a run and its continuation, one of them `other`, must not differ."""
    settings = {name: value for name, value in config.items() if name not in FREE}
    schedule, optimizer = settings.get("schedule"), settings.get("optimizer")
    if (schedule or other.get("schedule")) is not None and isinstance(optimizer, dict):
        # The schedule decides: the optimizer's own rate is whatever came last.
        settings["optimizer"] = {k: v for k, v in optimizer.items() if k != "lr"}
    if config.get("epochs") != other.get("epochs") and isinstance(schedule, dict):
        # A cycle over all epochs becomes a longer or a shorter one.
        settings["schedule"] = {k: v for k, v in schedule.items() if k != "total_steps"}
    model = settings.get("model")
    if isinstance(model, dict) and isinstance(model.get("preprocessing"), dict):
        # How pictures are prepared for prediction changes nothing in training.
        preprocessing = {k: v for k, v in model["preprocessing"].items() if k != "pictures"}
        settings["model"] = {**model, "preprocessing": preprocessing}
    return settings


_WORDS = {
    "batch_size": "the batch size",
    "crc32.train": "the checksum of the training data",
    "crc32.validation": "the checksum of the validation data",
    "ema": "the decay of the average of the weights (ema)",
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


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """A sentence for each difference between two JSON values."""
    lists = isinstance(old, list) and isinstance(new, list) and name not in _WORDS
    if isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type"):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif lists and len(old) == len(new):
        for i, parts in enumerate(zip(old, new, strict=True)):
            yield from _differences(*parts, f"{name}.{i}")
    elif old != new:
        yield f"{_WORDS.get(name, name)} was {_short(old)} and is {_short(new)}"


def _short(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _text(value: Any) -> str:
    """A JSON value as a person would write it: OneCycle(max_lr=0.1, total_steps=9)."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, dict) and "type" in value:
        settings = {**value, **(value.get("arguments") or {})}
        settings = {k: v for k, v in settings.items() if k not in ("type", "arguments")}
        return f"{value['type']}({', '.join(f'{k}={_text(v)}' for k, v in settings.items())})"
    return value if isinstance(value, str) else json.dumps(value)
