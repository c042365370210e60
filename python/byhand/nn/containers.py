"""Networks made of layers: a chain, and a chain with a shortcut around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from byhand.engine.memory import Array, Shape
from byhand.engine.op import Branch, Op
from byhand.nn.dropout import Dropout
from byhand.nn.layer import Layer, is_by_hand
from byhand.nn.module import ByHand, Module
from byhand.nn.parameter import share_storage


class Sequential(Module):
    """A chain of layers or inner networks.

    The constructor moves all weights into one flat buffer, and all gradients into another.
    Therefore a step of an optimizer is one kernel call. `network[i]` is layer i, counted from 0,
    and `len(network)` is the number of layers.

    Parameters
    ----------
    *layers : Module
        The layers, in the order in which they run.

    Raises
    ------
    TypeError
        If an argument is not a Module.
    ValueError
        If the same module occurs twice.

    Examples
    --------
    >>> network = Sequential(Flatten(), Linear(784, 10))
    """

    def __init__(self, *layers: Module) -> None:
        self.children = _checked(type(self).__name__, layers)
        self._share_storage()
        dropouts = [module for module in self.modules() if isinstance(module, Dropout)]
        for number, layer in enumerate(dropouts):
            layer.stream = number

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._share_storage()  # in a copy, each parameter begins with memory of its own

    def _share_storage(self) -> None:
        """Move all parameters into one storage, unless they have no memory yet (NO_WEIGHTS)."""
        self._device = _common_device(self)
        parameters = self.parameters()
        if all(parameter.storage is not None for parameter in parameters):
            share_storage(parameters, self._device)

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

    def layer_inputs(self, shape: Shape) -> Iterator[tuple[Module, Shape]]:
        return _layer_inputs(self.children, shape)

    def output_shape(self, shape: Shape) -> Shape:
        for child in self.children:
            shape = child.output_shape(shape)
        return shape

    def flops(self, shape: Shape) -> int:
        return _flops(self.children, shape)

    def forward(self, x: Array) -> Array:
        """Compute the output for a batch: call `forward` of each layer, one after the other.

        Parameters
        ----------
        x : ndarray, shape (N, ...), float32
            The batch.

        Returns
        -------
        ndarray, shape (N, ...), float32
            The output of the last layer.
        """
        for child in self.children:
            x = child.forward(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        """Compute the gradients for the batch of the last `forward`: backpropagation.

        This method calls `backward` of each layer, from the last to the first. Each layer gets the
        gradient that the previous call returned, and adds the gradients of its parameters to their
        `.grad`.

        Parameters
        ----------
        grad_output : ndarray, of the shape of the output, float32
            The gradient of the loss with respect to the output.

        Returns
        -------
        ndarray, of the shape of the input, float32
            The gradient of the loss with respect to the input.
        """
        for child in reversed(self.children):
            grad_output = child.backward(grad_output)
        return grad_output

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.children))})"


class Residual(Branch, Layer):
    """A chain of layers with a shortcut around it: y = x + f(x), where f is the chain.

    The parameters have the same names as in a torch.nn.Sequential of the layers.

    Parameters
    ----------
    *layers : Module
        The layers of f, in the order in which they run. The last one must return the shape that the
        first one takes.

    Raises
    ------
    TypeError
        If an argument is not a Module.
    ValueError
        If the same module occurs twice.

    References
    ----------
    He et al., Deep residual learning for image recognition, arXiv 1512.03385.
    """

    def __init__(self, *layers: Module) -> None:
        self.children = _checked("Residual", layers)
        super().__init__(list(self.inner_layers()))
        self._device = _common_device(self)

    def inner_layers(self) -> Iterator[Op]:
        """Return the layers of the chain and of networks inside it, in the order they run."""
        for child in self.children:
            yield from child.layers()

    def layer_inputs(self, shape: Shape) -> Iterator[tuple[Module, Shape]]:
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


def _common_device(network: Module) -> str:
    """Return the device of the parameters of a network, which must be on one device."""
    storages = {parameter.storage for parameter in network.parameters()}
    devices = sorted({storage.device for storage in storages if storage is not None})
    if len(devices) > 1:
        raise ValueError(
            f"the layers must be on one device, but they are on {' and '.join(devices)}: move them "
            "first, with layer.to(device)"
        )
    return devices[0] if devices else "cpu"


def _layer_inputs(children: Sequence[Module], shape: Shape) -> Iterator[tuple[Module, Shape]]:
    for child in children:
        yield from child.layer_inputs(shape)
        shape = child.output_shape(shape)


def _flops(children: Sequence[Module], shape: Shape) -> int:
    total = 0
    for child in children:
        total += child.flops(shape)
        shape = child.output_shape(shape)
    return total
