"""The error for a model that cannot be exported."""

from __future__ import annotations

from collections.abc import Iterator

from byhand.nn import Module
from byhand.nn.containers import Residual, Sequential
from byhand.nn.layer import is_by_hand


class ExportError(ValueError):
    """The model cannot be exported. The message names the layer and says why."""


def layer_error(name: str, layer: Module, reason: str) -> ExportError:
    """Return the error for a layer that cannot be exported.

    Parameters
    ----------
    name : str
        The number of the layer in the network, such as "2" or "2.0", or "".
    layer : Module
        The layer.
    reason : str
        Why it cannot be exported.
    """
    subject = f"layer {name}, {layer!r}," if name else type(layer).__name__
    return ExportError(f"{subject} cannot be exported: {reason}")


def named_children(network: Sequential | Residual, name: str) -> Iterator[tuple[str, Module]]:
    """Iterate over the layers of a network.

    Parameters
    ----------
    network : Sequential or Residual
        The network.
    name : str
        The name of the network: empty, or its number in a larger network.

    Yields
    ------
    name : str
        The name of the layer, such as "2" or "2.0".
    layer : Module
        The layer.

    Raises
    ------
    ExportError
        If the network or a layer is the user's own. Only Python can run its code.
    """
    check_is_ours(network, name)
    for i, layer in enumerate(network.children):
        child = f"{name}.{i}" if name else str(i)
        check_is_ours(layer, child)
        yield child, layer


def check_is_ours(layer: Module, name: str) -> None:
    """Raise ExportError if a layer or a network computes with code of the user.

    Parameters
    ----------
    layer : Module
        The layer or the network.
    name : str
        Its number in a larger network, or "".
    """
    is_own = type(layer).__module__.partition(".")[0] != "byhand"
    if is_by_hand(layer) or (is_own and not isinstance(layer, Sequential)):
        raise layer_error(name, layer, "it is code of your own, which only Python can run")
