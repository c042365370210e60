"""Rules that replace neighbouring layers of a plan with one op that calls one kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from byhand import kernels
from byhand.engine.memory import Array, Buffer, Shape
from byhand.engine.op import Branch, Call, Op
from byhand.nn.containers import Residual
from byhand.nn.dropout import Dropout
from byhand.nn.layer import Layer
from byhand.nn.layers import ACTIVATIONS, Conv2d, Linear, MaxPool2d, ReLU, Sigmoid, Tanh

__all__ = ["fused"]


# The name of each activation in the kernels, by the class of its layer: {ReLU: "relu", ...}.
NAMES = {layer: name for name, layer in ACTIVATIONS.items()}


class _LinearActivation(Op):
    """A Linear and an activation in one op. All results have the same bits as without fusion."""

    def __init__(self, linear: Linear, activation: ReLU | Tanh | Sigmoid) -> None:
        self._linear = linear
        self._name = NAMES[type(activation)]

    def output_shape(self, shape: Shape) -> Shape:
        return self._linear.output_shape(shape)

    def gradients(self) -> tuple[Array, ...]:
        return self._linear.gradients()

    def run(self, b: Call) -> None:
        linear = self._linear
        kernels.linear_act(b.x, linear.weight.data, linear.bias_data(), self._name, out=b.y)

    def run_backward(self, b: Call) -> None:
        self._linear.run_backward(b, self._name)


class _ConvPoolActivation(Op):
    """A Conv2d, a MaxPool2d and an activation in one op.

    The output has the same bits as without fusion. The gradients are equal except for rounding.
    """

    def __init__(self, conv: Conv2d, pool: MaxPool2d, activation: ReLU | Tanh | Sigmoid) -> None:
        self._conv = conv
        self._pool = pool
        self._name = NAMES[type(activation)]
        # Only the CPU's algorithms transform the weights.
        on_cpu = conv.device == "cpu"
        self._weight_cache = kernels.conv2d_weight_cache(conv.weight.shape) if on_cpu else None

    def output_shape(self, shape: Shape) -> Shape:
        return self._pool.output_shape(self._conv.output_shape(shape))

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        return (Buffer(self.output_shape(shape), np.int32),)  # positions of the maxima

    def gradients(self) -> tuple[Array, ...]:
        return self._conv.gradients()

    def run(self, b: Call) -> None:
        conv = self._conv
        kernels.conv2d_pool_act(
            b.x,
            conv.weight.data,
            conv.bias_data(),
            self._name,
            self._pool.kernel_size,
            **conv.geometry,
            weight_cache=self._weight_cache,
            out=(b.y, b.saved[0]),
        )

    def run_backward(self, b: Call) -> None:
        conv = self._conv
        kernels.conv2d_pool_act_backward(
            b.grad_y,
            b.y,
            b.saved[0],
            b.x,
            conv.weight.data,
            self._name,
            **conv.geometry,
            input_gradient=b.grad_x is not None,
            bias_gradient=conv.bias is not None,
            weight_cache=self._weight_cache,
            out=(b.grad_x, b.gradients[0], b.gradients[1] if conv.bias is not None else None),
        )


def _conv_pool_activation(
    conv: Conv2d, pool: MaxPool2d, activation: ReLU | Tanh | Sigmoid
) -> Op | None:
    """Return the fused op, or None if the kernel cannot do this pooling.

    The kernel computes only the default stride, padding, dilation and ceil_mode of MaxPool2d.
    """
    has_defaults = MaxPool2d(pool.kernel_size).arguments() == pool.arguments()
    return _ConvPoolActivation(conv, pool, activation) if has_defaults else None


Rule = tuple[tuple[type[Layer], ...], Callable[..., Op | None]]

# If several rules match, the first one is used. The last rule swaps ReLU and the maximum, which
# is allowed: max(relu(a), relu(b)) = relu(max(a, b)). The swap can change the position of the
# maximum only in a window without a positive value. There the output is 0, so the gradient is 0
# too.
RULES: list[Rule] = [
    *(((Linear, activation), _LinearActivation) for activation in NAMES),
    *(((Conv2d, MaxPool2d, activation), _conv_pool_activation) for activation in NAMES),
    ((Conv2d, ReLU, MaxPool2d), lambda conv, relu, pool: _conv_pool_activation(conv, pool, relu)),
]


def fused(layers: Iterable[Op], *, training: bool = True) -> list[Op]:
    """Return the ops of a plan. Neighbouring layers that match a rule become one op.

    An inference plan has no op for Dropout, which does nothing in inference. An instance of a
    subclass is never fused, because the subclass may compute something else.

    Parameters
    ----------
    layers : iterable of Op
        The layers of a network, in the order in which they run.
    training : bool
        True for a training plan, False for an inference plan.
    """
    rest: Sequence[Op] = [layer for layer in layers if training or type(layer) is not Dropout]
    ops: list[Op] = []
    while rest:
        op: Op
        if type(rest[0]) is Residual:
            op, count = Branch(fused(rest[0].inner_layers(), training=training)), 1
        else:
            op, count = _first_fused(rest)
        ops.append(op)
        rest = rest[count:]
    return ops


def _first_fused(layers: Sequence[Op]) -> tuple[Op, int]:
    """Return the op that computes the first layer, and the number of layers that it computes."""
    for types, make in RULES:
        if tuple(map(type, layers[: len(types)])) == types:
            op = make(*layers[: len(types)])
            if op is not None:
                return op, len(types)
    return layers[0], 1
