"""What plans compute in one pass where the layers are several: one table of rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from byhand import kernels
from byhand.engine import Array, Backward, Buffer, Forward, Op, Shape
from byhand.module import Layer
from byhand.nn import ACTIVATIONS, Linear, ReLU, Sigmoid, Tanh

__all__ = ["fused"]


NAMES = {layer: name for name, layer in ACTIVATIONS.items()}


class _LinearActivation:
    """Linear, then an activation: every bit is that of the two layers."""

    is_view = False

    def __init__(self, linear: Linear, activation: ReLU | Tanh | Sigmoid) -> None:
        self._linear = linear
        self._activation = activation
        self._name = NAMES[type(activation)]

    def output_shape(self, shape: Shape) -> Shape:
        return self._linear.output_shape(shape)

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        return (Buffer(self.output_shape(shape)),)  # for the gradient between the two

    def gradients(self) -> tuple[Array, ...]:
        return self._linear.gradients()

    def run(self, b: Forward) -> None:
        linear = self._linear
        kernels.linear_act(b.x, linear.weight.data, linear.bias_data(), self._name, out=b.y)

    def run_backward(self, b: Backward) -> None:
        (between,) = b.saved
        self._activation.gradient(b.grad_y, b.y, out=between)
        self._linear.run_gradients(b, between)


Rule = tuple[tuple[type[Layer], ...], Callable[..., Op]]

RULES: list[Rule] = [((Linear, activation), _LinearActivation) for activation in NAMES]


def fused(layers: Iterable[Layer]) -> list[Op]:
    """The ops of a plan: layers that follow each other as a rule says are one op.

    A class derived from a layer's may do something else, so it is left alone.
    """
    rest: Sequence[Layer] = list(layers)
    ops: list[Op] = []
    while rest:
        for types, make in RULES:
            if tuple(map(type, rest[: len(types)])) == types:
                ops.append(make(*rest[: len(types)]))
                rest = rest[len(types) :]
                break
        else:
            ops.append(rest[0])
            rest = rest[1:]
    return ops
