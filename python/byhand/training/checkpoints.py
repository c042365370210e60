"""The content of the files of a run: config.json, metrics.jsonl and state.safetensors.

Only this module makes and reads the bytes of these files. The module `session` decides which
settings go into config.json. The module `run_folder` decides when the files are written.
`models.model_file` reads the file of a model.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from byhand.engine.memory import Array
from byhand.files.atomic import open_file
from byhand.files.tensors import FORMAT, CheckpointError, read_tensors, tensors_file
from byhand.models import Model
from byhand.optim import Optimizer
from byhand.optim.averages import WeightAverage
from byhand.training.events import EpochEnd
from byhand.training.run_settings import describe_optimizer

# --------------------------------------------------------------------------------------------------
# config.json: the settings of a run


def config_text(config: Mapping[str, Any]) -> str:
    """Return the content of config.json.

    Parameters
    ----------
    config : mapping of JSON values

    Returns
    -------
    str
    """
    return json.dumps(config, indent=2, allow_nan=False) + "\n"


def read_config(path: Path) -> dict[str, Any]:
    """Read config.json.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict

    Raises
    ------
    OSError
        If the file cannot be read.
    CheckpointError
        If the file does not describe a run, or if one of the entries "counts" (which epoch is the
        result of the run), "data", "crc32" and "notes" has a wrong type or value.
    """
    try:
        config = json.loads(_content(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict) or "byhand" not in config:
        raise CheckpointError(f'{path} does not describe a run: it has no entry "byhand"')
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


def _has_texts(value: Any, names: Sequence[str]) -> bool:
    """Return whether a value is None or an object with a non-empty text under each name."""
    if value is None:
        return True
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) and value[name] for name in names
    )


# --------------------------------------------------------------------------------------------------
# metrics.jsonl: the history of a run

_FIELDS = get_type_hints(EpochEnd)


def history_bytes(history: Sequence[EpochEnd]) -> bytes:
    """Return the content of metrics.jsonl: a line per epoch.

    Parameters
    ----------
    history : sequence of EpochEnd

    Returns
    -------
    bytes
    """
    lines = (json.dumps(dataclasses.asdict(end), allow_nan=False) + "\n" for end in history)
    return "".join(lines).encode()


def read_history(path: Path) -> list[EpochEnd]:
    """Read metrics.jsonl.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of EpochEnd
        All epochs, beginning with epoch 1. The list is not empty.

    Raises
    ------
    OSError
        If the file cannot be read.
    CheckpointError
        If the file does not list epochs.
    """
    content = _content(path)
    try:
        rows = [json.loads(line) for line in content.decode().splitlines()]
        history = [_epoch(row, number) for number, row in enumerate(rows, 1)]
    except (ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path} does not list epochs: {error}") from error
    if not history:
        raise CheckpointError(f"{path} lists no epoch")
    return history


def _epoch(row: Any, number: int) -> EpochEnd:
    """Read a line of metrics.jsonl. Raise ValueError if it does not describe epoch `number`."""
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


def _content(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --------------------------------------------------------------------------------------------------
# state.safetensors: everything that a resumed run needs

# The entries that the metadata of this file must have, with their types.
_STATE = {"model": dict, "optimizer": dict, "epoch": int, "step": int, "averaged": int}


class Checkpoint(NamedTuple):
    """The state of a run after its last complete epoch.

    Attributes
    ----------
    path : Path
        The file state.safetensors.
    tensors : dict of ndarray
        The weights, the moments of the optimizer and the averages of the weights. Their names begin
        with "model.", "optimizer." and "ema.".
    description : dict
        The metadata of the file.
    history : list of EpochEnd
        The epochs so far.
    """

    path: Path
    tensors: dict[str, NDArray[Any]]
    description: dict[str, Any]
    history: list[EpochEnd]

    def part(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the tensors whose names begin with `name` and a dot.

        Parameters
        ----------
        name : {"model", "optimizer", "ema"}

        Returns
        -------
        dict of ndarray
            The tensors, under their names without this prefix.
        """
        prefix = f"{name}."
        return {k.removeprefix(prefix): t for k, t in self.tensors.items() if k.startswith(prefix)}

    def restore(self, model: Model, optimizer: Optimizer, average: WeightAverage | None) -> int:
        """Copy the state of the checkpoint into a model, its optimizer and its weight average.

        The model is changed last. If the optimizer's state does not fit, the model is unchanged.

        Parameters
        ----------
        model : Model
        optimizer : Optimizer
        average : WeightAverage or None

        Returns
        -------
        int
            The number of training steps so far.

        Raises
        ------
        CheckpointError
            If the state does not fit the model or the optimizer.
        """
        with self._errors_name_the_file():
            state = self.part("optimizer")
            # In earlier versions, SGD did not save its number of steps. Use the run's number.
            state.setdefault("steps", np.array([self.description["step"]], np.float32))
            optimizer.load_state_dict(state)
            if average is not None:
                average.load_state_dict(self.part("ema"), self.description["averaged"])
            # Restore the settings, too, because a handler may have changed them during training.
            described = self.description["optimizer"].items()
            optimizer.restore_settings({name: v for name, v in described if name != "type"})
            model.load_state_dict(self.part("model"))
        step: int = self.description["step"]
        return step

    @contextlib.contextmanager
    def _errors_name_the_file(self) -> Iterator[None]:
        try:
            yield
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{self.path} is the state of another run: {error}") from error


def state_bytes(
    weights: Mapping[str, Array],
    model: Model,
    optimizer: Optimizer,
    average: WeightAverage | None,
    *,
    epoch: int,
    step: int,
    seed: int,
    batch_size: int,
) -> bytes:
    """Return the content of state.safetensors.

    Parameters
    ----------
    weights : mapping of ndarray
        The model's `state_dict`, with the weights that training continues with.
    model : Model
        The model. Its own weights are not used, because they may be the average during this call.
    optimizer : Optimizer
    average : WeightAverage or None
    epoch, step : int
        The number of epochs and the number of training steps so far.
    seed, batch_size : int
        The arguments of `Trainer.fit`.

    Returns
    -------
    bytes
    """
    parts = {"model": weights, "optimizer": optimizer.state_dict()}
    if average is not None:
        parts["ema"] = average.state_dict()
    tensors = {f"{part}.{name}": a for part, arrays in parts.items() for name, a in arrays.items()}
    description = {
        "format": FORMAT,
        "model": model.description(),
        "optimizer": describe_optimizer(optimizer),
        "epoch": epoch,
        "step": step,
        "averaged": 0 if average is None else average.updates,
        "seed": int(seed),
        "batch_size": batch_size,
    }
    return tensors_file(tensors, description)


def read_state(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read state.safetensors.

    Parameters
    ----------
    path : Path

    Returns
    -------
    tensors : dict of ndarray
        The tensors of the file, by name.
    description : dict
        The metadata of the file.

    Raises
    ------
    OSError
        If the file cannot be read.
    CheckpointError
        If the file is damaged or not the state of a run.
    """
    tensors, description = read_tensors(path)
    if any(type(description.get(name)) is not kind for name, kind in _STATE.items()):
        raise CheckpointError(f"{path} is not the state of a run")
    return tensors, description
