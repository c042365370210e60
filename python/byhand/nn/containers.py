"""Networks made of layers: one after the other, and round a shortcut."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from byhand import kernels
from byhand.engine.plan import Array, Backward, Buffer, Forward, Op, Shape
from byhand.nn.dropout import Dropout
from byhand.nn.module import Layer, Module, with_batch
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

    def layers(self) -> Iterator[Layer]:
        for child in self.children:
            yield from child.layers()

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


class Residual(Layer):
    """y = x + f(x), f being layers one after the other that return the shape they take.

    Weights have the names of a torch.nn.Sequential of the layers. Source: He et al., Deep residual
    learning for image recognition, arXiv 1512.03385. Raises what Sequential raises.
    """

    def __init__(self, *layers: Module) -> None:
        self.children = _checked("Residual", layers)
        self._op = ResidualOp(list(self.inner_layers()))

    def inner_layers(self) -> Iterator[Layer]:
        for child in self.children:
            yield from child.layers()

    def output_shape(self, shape: Shape) -> Shape:
        return self._op.output_shape(shape)

    def flops(self, shape: Shape) -> int:
        return _flops(self.children, shape)

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        return self._op.saved(shape)

    def gradients(self) -> tuple[Array, ...]:
        return self._op.gradients()

    def run(self, b: Forward) -> None:
        self._op.run(b)

    def run_backward(self, b: Backward) -> None:
        self._op.run_backward(b)

    def __repr__(self) -> str:
        return f"Residual({', '.join(map(repr, self.children))})"


class ResidualOp:
    """y = x + ops(x) as one op: the buffers between its ops are what it saves.

    Saved are, op by op, its output and what it saves itself; then two buffers in which gradients
    take turns.
    """

    is_view = False

    def __init__(self, ops: Sequence[Op]) -> None:
        self._ops = list(ops)

    def output_shape(self, shape: Shape) -> Shape:
        y = shape
        for op in self._ops:
            y = op.output_shape(y)
        if y != shape:
            raise ValueError(
                "the layers of a Residual must return the shape they take, "
                f"not {with_batch(y)} for {with_batch(shape)}"
            )
        return shape

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        buffers: list[Buffer] = []
        largest = 0
        for op in self._ops:
            x, shape = shape, op.output_shape(shape)
            if not op.is_view:
                buffers += [Buffer(shape), *op.saved(x)]
                largest = max(largest, math.prod(x))
        return (*buffers, Buffer((largest,)), Buffer((largest,)))

    def gradients(self) -> tuple[Array, ...]:
        return tuple(gradient for op in self._ops for gradient in op.gradients())

    def run(self, b: Forward) -> None:
        if b.inner is None:
            b.inner = self._forwards(b)
        y = b.x
        for op, buffers in b.inner:
            op.run(buffers)
            y = buffers.y
        kernels.add(y.reshape(b.x.shape), b.x, out=b.y)

    def run_backward(self, b: Backward) -> None:
        if b.inner is None:
            b.inner = self._backwards(b)
        end = len(b.gradients)
        for op, buffers in b.inner:  # the last op first
            start = end - len(op.gradients())
            buffers.gradients, end = b.gradients[start:end], start
            op.run_backward(buffers)
        if b.grad_x is not None:
            if b.inner:
                kernels.accumulate(b.grad_x, b.grad_y)
            else:
                kernels.add(b.grad_y, b.grad_y, out=b.grad_x)

    def _forwards(self, b: Forward) -> list[tuple[Op, Forward]]:
        """The ops that compute, each with its buffers."""
        x, saved = b.x, list(b.saved)
        bound = []
        for op in self._ops:
            shape = x.shape[1:]
            if op.is_view:
                x = x.reshape(len(x), *op.output_shape(shape))
                continue
            y = saved.pop(0)
            own = tuple(saved.pop(0) for _ in op.saved(shape))
            bound.append((op, Forward(x, y, own, inference=b.inference)))
            x = y
        return bound

    def _backwards(self, b: Backward) -> list[tuple[Op, Backward]]:
        """The same from the last op to the first that has a gradient to compute."""
        forwards: list[tuple[Op, Forward]] = b.forward.inner
        first = 0
        if b.grad_x is None:
            first = next(i for i, (op, _) in enumerate(forwards) if op.gradients())
        bound = []
        grad_y = b.grad_y
        for i in range(len(forwards) - 1, first - 1, -1):
            op, f = forwards[i]
            grad_x: Array | None
            if i > first:
                turn = b.saved[-1 - i % 2].reshape(-1)
                grad_x = turn[: f.x.size].reshape(f.x.shape)
            else:
                grad_x = None if b.grad_x is None else b.grad_x.reshape(f.x.shape)
            grad_y = grad_y.reshape(f.y.shape)
            bound.append((op, Backward(f, grad_y, grad_x, ())))
            if grad_x is not None:
                grad_y = grad_x
        return bound


def _checked(owner: str, layers: tuple[Module, ...]) -> tuple[Module, ...]:
    for layer in layers:
        if not isinstance(layer, Module):
            raise TypeError(f"{owner} takes layers, not {type(layer).__name__}")
    modules = [module for layer in layers for module in layer.modules()]
    if len(set(map(id, modules))) < len(modules):
        raise ValueError("a layer occurs twice in the network: make a layer for each place")
    return layers


def _flops(children: Sequence[Module], shape: Shape) -> int:
    total = 0
    for child in children:
        total += child.flops(shape)
        shape = child.output_shape(shape)
    return total
