"""The translation of a network to PyTorch, which the benchmarks and the tests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from byhand import nn
from torch import Tensor
from torch.nn import functional


class Residual(torch.nn.Sequential):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)
        return x + y


class PaddedConv2d(torch.nn.Conv2d):  # type: ignore[misc]
    """A convolution whose two sides have different paddings, which PyTorch's own layer refuses."""

    def __init__(self, sides: Any, **arguments: Any) -> None:
        super().__init__(**{**arguments, "padding": 0})
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, self.sides))


class PaddedPool2d(torch.nn.Module):  # type: ignore[misc]
    """Padding and then pooling, for paddings that PyTorch's own layers refuse."""

    def __init__(self, layer: nn.MaxPool2d | nn.AvgPool2d) -> None:
        super().__init__()
        assert not layer.ceil_mode
        self.layer, self.sides = layer, sides_of(layer.padding)

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        window = layer.kernel_size, layer.stride
        if isinstance(layer, nn.MaxPool2d):
            padded = functional.pad(x, self.sides, value=-torch.inf)
            return functional.max_pool2d(padded, *window, dilation=layer.dilation)
        means = functional.avg_pool2d(functional.pad(x, self.sides), *window)
        if layer.count_include_pad:
            return means
        ones = functional.pad(torch.ones_like(x), self.sides)
        return means / functional.avg_pool2d(ones, *window)


def sides_of(padding: Any) -> tuple[int, ...]:
    """Return ((top, bottom), (left, right)) in the order of torch.nn.functional.pad."""
    return (*padding[1], *padding[0])


def in_torch(
    layer: nn.Module,
    own: Mapping[type[nn.Module], Callable[[Any], torch.nn.Module]] | None = None,
    shared: dict[Any, Any] | None = None,
) -> Any:
    """Return the same network in PyTorch, with initial weights that PyTorch draws.

    Parameters and statistics have the same names in byhand and in PyTorch. Layers that share a
    Parameter in byhand share one in PyTorch, too. Dropout has the same rate, but drops other
    values.

    Parameters
    ----------
    own : functions that translate layers of some types, instead of the translation in this module
    shared : PyTorch's parameter for each shared parameter of byhand; the function fills it
    """
    own, shared = own or {}, {} if shared is None else shared
    if isinstance(layer, nn.Sequential | nn.Residual):
        container = Residual if isinstance(layer, nn.Residual) else torch.nn.Sequential
        return container(*(in_torch(child, own, shared) for child in layer.children))
    module: Any = own.get(type(layer), _layer_in_torch)(layer)
    for name, parameter in layer.named_parameters():
        setattr(module, name, shared.setdefault(parameter, getattr(module, name)))
    return module


def _layer_in_torch(layer: Any) -> torch.nn.Module:
    if isinstance(layer, nn.GlobalAvgPool2d):
        return torch.nn.AdaptiveAvgPool2d(1)
    arguments = layer.arguments()
    if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        sides = list(zip(layer.padding, layer.kernel_size, strict=True))
        even = all(before == after for (before, after), _ in sides)
        if isinstance(layer, nn.Conv2d) and not even:
            return PaddedConv2d(sides_of(layer.padding), **arguments)
        small = all(2 * before <= kernel for (before, _), kernel in sides)
        if not isinstance(layer, nn.Conv2d) and not (even and small):
            return PaddedPool2d(layer)
        arguments["padding"] = [before for before, _ in layer.padding]
    module: torch.nn.Module = getattr(torch.nn, type(layer).__name__)(**arguments)
    return module


def with_weights_of(network: nn.Module, module: Any) -> Any:
    """Copy the weights and statistics of a network into its translation `module`; return it."""
    state = {name: torch.from_numpy(array) for name, array in network.state_dict().items()}
    missing, unexpected = module.load_state_dict(state, strict=False)
    # Only PyTorch counts the batches that batch norm has seen.
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    return module
