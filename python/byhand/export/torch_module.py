"""Networks as modules of PyTorch, with the same weights under the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from byhand import nn
from byhand.checks import instance, needs_extra
from byhand.models import Model

if TYPE_CHECKING:
    import torch


def to_torch(network: nn.Module) -> torch.nn.Module:
    """Make a module of PyTorch that computes the same as a network.

    Parameters
    ----------
    network : Module
        A layer or a network of byhand.nn, or a Model.

    Returns
    -------
    torch.nn.Module
        The module, with copies of the weights, in evaluation mode. For a Sequential it is a
        torch.nn.Sequential with the same names of parameters. So `load_state_dict` of byhand takes
        its weights back. For a Model it is such a Sequential, too, but it takes images: uint8, or
        float32 in [0, 1], of shape (N, C, H, W), or (N, H, W) for one channel. It begins with the
        preprocessing of the model and returns logits.

    Raises
    ------
    ExportError
        If a layer is the user's own.
    ModuleNotFoundError
        If PyTorch is not installed.
    TypeError
        If `network` is not a Module.
    """
    instance("network", network, nn.Module)
    try:
        from byhand.export import _torch_layers as torch_layers
    except ModuleNotFoundError as error:
        raise needs_extra(error, "an export to PyTorch", "torch") from None

    shared: dict[Any, Any] = {}
    if isinstance(network, Model):
        module: Any = torch_layers.Classifier(
            *torch_layers.translated_children(network, shared),
            input_shape=network.input_shape,
            scale=network.scale,
            offset=network.offset,
        )
    else:
        module = torch_layers.translated(network, shared)
    torch_layers.load(module, network)
    return module.eval()
