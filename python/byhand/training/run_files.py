"""The text files of a run folder, written and read: config.json and metrics.jsonl."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from byhand.files.atomic import open_file
from byhand.files.tensors import CheckpointError
from byhand.training.events import EpochEnd


def config_text(config: Mapping[str, Any]) -> str:
    """Return the content of config.json."""
    return json.dumps(config, indent=2, allow_nan=False) + "\n"


def history_bytes(history: Sequence[EpochEnd]) -> bytes:
    """Return the content of metrics.jsonl: a line per epoch."""
    lines = (json.dumps(dataclasses.asdict(end), allow_nan=False) + "\n" for end in history)
    return "".join(lines).encode()


def read_config(path: Path) -> dict[str, Any]:
    """Read config.json.

    Raises OSError if the file cannot be read, CheckpointError with the path if it is not that of a
    run, or if what it says of the data, of the epoch that counts or of the notes has a wrong type.
    """
    try:
        config = json.loads(_content(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict) or "byhand" not in config:
        raise CheckpointError(f"{path} is not that of a run")
    checks = {
        "counts": config.get("counts", "last") in ("best", "last"),
        "data": _has_texts(config.get("data"), ("folder", "checksum")),
        "crc32": _has_texts(config.get("crc32"), ("train",))
        and isinstance((config.get("crc32") or {}).get("validation"), str | None),
        "notes": isinstance(config.get("notes"), dict | None),
    }
    for name, holds in checks.items():
        if not holds:
            raise CheckpointError(f"{path} is damaged: {name!r} is {_short(config[name])}")
    return config


def read_history(path: Path) -> list[EpochEnd]:
    """Read metrics.jsonl: the epochs from 1 on, at least one. The errors are of `read_config`."""
    content = _content(path)
    try:
        rows = [json.loads(line) for line in content.decode().splitlines()]
        history = [_epoch(row, number) for number, row in enumerate(rows, 1)]
    except (ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path} does not list epochs: {error}") from error
    if not history:
        raise CheckpointError(f"{path} lists no epoch")
    return history


def _content(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read()


def _epoch(row: Any, number: int) -> EpochEnd:
    """A line of metrics.jsonl; ValueError if it is not that of the epoch with this number."""
    if not isinstance(row, dict) or set(row) != set(_FIELDS):
        raise ValueError(f"line {number} must have {', '.join(_FIELDS)}")
    values = {}
    for name, kind in _FIELDS.items():
        value = row[name]
        if type(value) is int and isinstance(0.0, kind):
            value = float(value)
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not fits or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"{name} in line {number} is {_short(value)}")
        values[name] = value
    if values["epoch"] != number:
        raise ValueError(f"line {number} is that of epoch {values['epoch']}")
    return EpochEnd(**values)


_FIELDS = get_type_hints(EpochEnd)


def _has_texts(value: Any, names: Sequence[str]) -> bool:
    """Whether a value is None or an object with a text that is not empty under each name."""
    if value is None:
        return True
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) and value[name] for name in names
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
