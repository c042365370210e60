"""Describe the layers of a model as JSON, and make layers from such a description."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from byhand.nn import (
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    Module,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Tanh,
)
from byhand.nn.parameter import NO_WEIGHTS

_TYPES: dict[str, Callable[..., Layer]] = {
    layer.__name__: layer
    for layer in (
        AvgPool2d,
        BatchNorm1d,
        BatchNorm2d,
        Conv2d,
        Dropout,
        Flatten,
        GlobalAvgPool2d,
        Linear,
        MaxPool2d,
        ReLU,
        Sigmoid,
        Tanh,
    )
}
_CONTAINERS: dict[str, Callable[..., Module]] = {"Sequential": Sequential, "Residual": Residual}


def describe(module: Module) -> dict[str, Any]:
    """Return a description of a layer for JSON: its class and its arguments, without weights.

    Parameters
    ----------
    module : Module
        A layer or a network.

    Raises
    ------
    TypeError
        If the settings of a user's own layer cannot be described, or its class has the name of a
        class of byhand.nn.
    """
    name = type(module).__name__
    if _CONTAINERS.get(name) is type(module):
        return {"type": name, "layers": [describe(child) for child in module.children]}
    if name in {**_TYPES, **_CONTAINERS} and _TYPES.get(name) is not type(module):
        raise TypeError(f"{name} cannot be saved: byhand.nn has another class of that name")
    try:
        return {"type": name, "arguments": json.loads(json.dumps(module.arguments()))}
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} cannot be saved: {error}") from None


def shared_names(model: Module) -> dict[str, str]:
    """Return the parameters that have several names, because several layers share them.

    For example, {"2.weight": "0.weight"} means that layer 2 uses the weight of layer 0. The keys
    are all names except the first one of each parameter.

    Parameters
    ----------
    model : Module
        The network.
    """
    first: dict[Parameter, str] = {}
    names = {name: first.setdefault(p, name) for name, p in model.named_state()}
    return {name: original for name, original in names.items() if name != original}


def build_all(descriptions: Any, own: Mapping[str, type[Module]]) -> list[Module]:
    """Make layers from the descriptions that `describe` returned. They have no weights yet.

    The parameters of byhand's layers have no memory until `share_storage` gives them some.

    Parameters
    ----------
    descriptions : list
        The description of each layer.
    own : mapping of str to type
        The classes of the user's own layers, by their names.

    Returns
    -------
    list of Module
        The layers.

    Raises
    ------
    TypeError, ValueError
        If a description does not describe a layer.
    """
    if not isinstance(descriptions, list):
        raise ValueError(f"layers must be a list, not {type(descriptions).__name__}")
    return [_build(description, own) for description in descriptions]


def _build(description: Any, own: Mapping[str, type[Module]]) -> Module:
    """Make a layer. Its weights have no memory, because a damaged file may claim any size."""
    name = description.get("type") if isinstance(description, dict) else None
    if name in _CONTAINERS:
        check_keys(f"a {name}", description, ("type", "layers"))
        return _CONTAINERS[name](*build_all(description["layers"], own))
    types: Mapping[str, Callable[..., Module]] = {**own, **_TYPES}
    if name not in types:
        raise ValueError(
            f"unknown layer {name!r}: if it is a class of your own, load the model in Python with "
            f"byhand.load(path, layers=[{name}]), because the command byhand cannot load it"
        )
    check_keys(f"a {name}", description, ("type", "arguments"))
    arguments = description["arguments"]
    if not isinstance(arguments, dict):
        raise ValueError(f"arguments of {name} must be an object")
    if name in _TYPES and "rng" in inspect.signature(_TYPES[name]).parameters:
        return _TYPES[name](**arguments, rng=NO_WEIGHTS)
    return types[str(name)](**arguments)


def check_keys(owner: str, value: Any, keys: Sequence[str]) -> None:
    """Check that a value from JSON is an object with certain keys.

    Parameters
    ----------
    owner : str
        What the message calls the value.
    value : object
        The value.
    keys : sequence of str
        The keys that the object must have. Other keys are not allowed.

    Raises
    ------
    ValueError
        If the value is not an object, or its keys are not exactly `keys`.
    """
    if not isinstance(value, dict) or set(value) != set(keys):
        found = list(value) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"{owner} must have {', '.join(keys)}, not {found}")
