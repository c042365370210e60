"""Networks made of layers: one after the other, and round a shortcut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from byhand.engine.memory import Array, Shape
from byhand.engine.plan import Branch, Op
from byhand.nn.dropout import Dropout
from byhand.nn.module import ByHand, Layer, Module, is_by_hand
from byhand.nn.parameter import share_storage


class Sequential(Module):
    """Layers, or inner networks, one after the other; all weights move into two flat buffers.

    Raises TypeError where an argument is not a layer, ValueError where one occurs twice.
    """

    def __init__(self, *layers: Module) -> None:
        self.children = _checked(type(self).__name__, layers)
        modules = list(self.modules())
        parameters = self.parameters()
        if all(parameter.storage is not None for parameter in parameters):
            share_storage(parameters)
        for number, layer in enumerate(m for m in modules if isinstance(m, Dropout)):
            layer.stream = number

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Each parameter of a copy or a pickle has memory of its own at first.
        vars(self).update(state)
        if all(parameter.storage is not None for parameter in self.parameters()):
            share_storage(self.parameters())

    def __getitem__(self, i: int) -> Module:
        return self.children[i]

    def __len__(self) -> int:
        return len(self.children)

    def layers(self) -> Iterator[Op]:
        if is_by_hand(self):
            yield ByHand(self)
            return
        for child in self.children:
            yield from child.layers()

    def layer_inputs(self, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
        return _layer_inputs(self.children, shape)

    def output_shape(self, shape: Shape) -> Shape:
        for child in self.children:
            shape = child.output_shape(shape)
        return shape

    def flops(self, shape: Shape) -> int:
        return _flops(self.children, shape)

    def forward(self, x: Array) -> Array:
        """x (N, ...) through all layers."""
        for child in self.children:
            x = child.forward(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        """The gradient of x; adds to the `.grad` of every parameter."""
        for child in reversed(self.children):
            grad_output = child.backward(grad_output)
        return grad_output

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.children))})"


class Residual(Branch, Layer):
    """y = x + f(x), f being layers one after the other that return the shape they take.

    Weights have the names of a torch.nn.Sequential of the layers. Source: He et al., Deep residual
    learning for image recognition, arXiv 1512.03385. Raises what Sequential raises.
    """

    def __init__(self, *layers: Module) -> None:
        self.children = _checked("Residual", layers)
        super().__init__(list(self.inner_layers()))

    def inner_layers(self) -> Iterator[Op]:
        for child in self.children:
            yield from child.layers()

    def layer_inputs(self, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
        yield self, shape
        yield from _layer_inputs(self.children, shape)

    def flops(self, shape: Shape) -> int:
        return _flops(self.children, shape)

    def __repr__(self) -> str:
        return f"Residual({', '.join(map(repr, self.children))})"


def _checked(owner: str, layers: tuple[Module, ...]) -> tuple[Module, ...]:
    for layer in layers:
        if not isinstance(layer, Module):
            raise TypeError(f"{owner} takes layers, not {type(layer).__name__}")
    modules = [module for layer in layers for module in layer.modules()]
    if len(set(map(id, modules))) < len(modules):
        raise ValueError("a layer occurs twice in the network: make a layer for each place")
    return layers


def _layer_inputs(children: Sequence[Module], shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    for child in children:
        yield from child.layer_inputs(shape)
        shape = child.output_shape(shape)


def _flops(children: Sequence[Module], shape: Shape) -> int:
    total = 0
    for child in children:
        total += child.flops(shape)
        shape = child.output_shape(shape)
    return total
