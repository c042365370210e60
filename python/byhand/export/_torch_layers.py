"""The layers of byhand.nn as modules of PyTorch. This module imports PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from byhand import nn
from byhand.engine.memory import Shape
from byhand.export.errors import check_is_ours, named_children
from byhand.export.windows import windows_along


class Classifier(torch.nn.Sequential):  # type: ignore[misc]
    """A network that takes images and begins with their preprocessing.

    Parameters
    ----------
    *layers : torch.nn.Module
        The layers.
    input_shape : (int, int, int)
        The channels, the height and the width of the images.
    scale, offset : float
        The preprocessing: the layers see pixel * scale + offset for a pixel from 0 to 255.
    """

    def __init__(
        self, *layers: torch.nn.Module, input_shape: Shape, scale: float, offset: float
    ) -> None:
        super().__init__(*layers)
        self.input_shape, self.scale, self.offset = input_shape, scale, offset

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of images of uint8, or of float32 in [0, 1]."""
        scale = self.scale * (255 if images.is_floating_point() else 1)
        x = images.to(torch.float32) * scale + self.offset
        logits: Tensor = super().forward(x.reshape(-1, *self.input_shape))
        return logits


class Residual(torch.nn.Sequential):  # type: ignore[misc]
    """A chain of layers with a shortcut around it: x + f(x)."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)
        return x + y


class PaddedConv2d(torch.nn.Conv2d):  # type: ignore[misc]
    """A convolution whose two sides have different paddings, which PyTorch's own layer refuses.

    Parameters
    ----------
    padding : ((int, int), (int, int))
        The padding ((top, bottom), (left, right)).
    **arguments : object
        The other arguments of torch.nn.Conv2d.
    """

    def __init__(self, *, padding: Any, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.sides = (*padding[1], *padding[0])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(functional.pad(x, self.sides))
        return y


class PaddedPool2d(torch.nn.Module):  # type: ignore[misc]
    """Padding and then pooling, for paddings that PyTorch's own layers refuse.

    Parameters
    ----------
    layer : MaxPool2d or AvgPool2d of byhand.nn
        The layer.
    """

    def __init__(self, layer: nn.MaxPool2d | nn.AvgPool2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        rows, columns = (windows_along(layer, tuple(x.shape[1:]), axis) for axis in (0, 1))
        sides = (columns.before, columns.after, rows.before, rows.after)
        window = layer.kernel_size, layer.stride
        if isinstance(layer, nn.MaxPool2d):
            padded = functional.pad(x, sides, value=-torch.inf)
            pooled: Tensor = functional.max_pool2d(padded, *window, dilation=layer.dilation)
            return pooled
        divisors = torch.outer(
            *(torch.from_numpy(axis.divisors).to(x) for axis in (rows, columns))
        ).clamp(min=1)
        sums: Tensor = functional.avg_pool2d(functional.pad(x, sides), *window, divisor_override=1)
        return sums / divisors


# The translations of layers of some types, instead of those of this module.
Own = Mapping[type[nn.Module], Callable[[Any], torch.nn.Module]]


def translated(
    layer: Any, shared: dict[Any, Any], name: str = "", own: Own | None = None
) -> torch.nn.Module:
    """Return the module of PyTorch for a layer or a network, with weights that PyTorch draws.

    `shared` gets the parameter of PyTorch for each parameter of byhand, so that layers that share a
    parameter in byhand share one in PyTorch, too. `name` is the number of the layer in a larger
    network, for messages.
    """
    check_is_ours(layer, name)
    if isinstance(layer, nn.Sequential | nn.Residual):
        container = Residual if isinstance(layer, nn.Residual) else torch.nn.Sequential
        return container(*translated_children(layer, shared, name, own))
    module: Any = (own or {}).get(type(layer), _translated_layer)(layer)
    for attribute, parameter in layer.named_parameters():
        setattr(module, attribute, shared.setdefault(parameter, getattr(module, attribute)))
    return module


def translated_children(
    network: nn.Sequential | nn.Residual,
    shared: dict[Any, Any],
    name: str = "",
    own: Own | None = None,
) -> list[torch.nn.Module]:
    """Return the module of PyTorch for each layer of a network."""
    children = named_children(network, name)
    return [translated(layer, shared, child, own) for child, layer in children]


def load(module: Any, network: nn.Module) -> None:
    """Copy the weights and statistics of a network into its translation."""
    state = {name: torch.from_numpy(array) for name, array in network.state_dict().items()}
    missing, unexpected = module.load_state_dict(state, strict=False)
    # Only PyTorch counts the batches that batch normalisation has seen.
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)


def _translated_layer(layer: Any) -> torch.nn.Module:
    if isinstance(layer, nn.GlobalAvgPool2d):
        return torch.nn.AdaptiveAvgPool2d(1)
    arguments = layer.arguments()
    if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        sides = list(zip(layer.padding, layer.kernel_size, strict=True))
        even = all(before == after for (before, after), _ in sides)
        if isinstance(layer, nn.Conv2d) and not even:
            return PaddedConv2d(**{**arguments, "padding": layer.padding})
        small = all(2 * before <= kernel for (before, _), kernel in sides)
        if not isinstance(layer, nn.Conv2d) and not (even and small):
            return PaddedPool2d(layer)
        arguments["padding"] = [before for before, _ in layer.padding]
    module: torch.nn.Module = getattr(torch.nn, type(layer).__name__)(**arguments)
    return module
