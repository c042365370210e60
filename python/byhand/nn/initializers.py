"""First weights by name: INITIALIZERS says what each draws, `initialize` draws a whole network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from byhand.nn.layers import Conv2d, Linear
from byhand.nn.module import Module
from byhand.nn.parameter import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from byhand.engine.memory import Shape
    from byhand.nn.parameter import Rng

__all__ = ["INITIALIZERS", "initialize"]

Draw = Callable[["np.random.Generator", "Shape", int, int], "NDArray[np.float32]"]
"""(rng, shape, fan_in, fan_out) -> weights"""

M = TypeVar("M", bound=Module)


def _uniform(bound: Callable[[int, int], float]) -> Draw:
    """Uniform in +-bound, of variance bound^2 / 3."""

    def draw(
        rng: np.random.Generator, shape: Shape, fan_in: int, fan_out: int
    ) -> NDArray[np.float32]:
        limit = bound(fan_in, fan_out)
        return rng.random(shape, np.float32) * (2 * limit) - limit

    return draw


def _normal(deviation: Callable[[int, int], float]) -> Draw:
    def draw(
        rng: np.random.Generator, shape: Shape, fan_in: int, fan_out: int
    ) -> NDArray[np.float32]:
        return rng.standard_normal(shape, np.float32) * deviation(fan_in, fan_out)

    return draw


INITIALIZERS: dict[str, Draw] = {
    "uniform": _uniform(lambda fan_in, fan_out: 1 / math.sqrt(fan_in)),
    "xavier_uniform": _uniform(lambda fan_in, fan_out: math.sqrt(6 / (fan_in + fan_out))),
    "xavier_normal": _normal(lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out))),
    "kaiming_uniform": _uniform(lambda fan_in, fan_out: math.sqrt(6 / fan_in)),
    "kaiming_normal": _normal(lambda fan_in, fan_out: math.sqrt(2 / fan_in)),
    "normal": _normal(lambda fan_in, fan_out: 0.01),
    "zeros": lambda rng, shape, fan_in, fan_out: np.zeros(shape, np.float32),
}


def initialize(network: M, name: str, rng: Rng = None) -> M:
    """Draw new weights for every linear and convolutional layer, in their order; returns network.

    With fan_in the inputs and fan_out the outputs that one weight's neighbours connect, that is
    channels of a group times taps for a convolution, the weights have the mean 0 and the variance

    - "uniform": 1 / (3 fan_in), PyTorch's default; biases are drawn alike
    - "xavier_uniform", "xavier_normal": 2 / (fan_in + fan_out), for tanh and sigmoid (Glorot and
      Bengio, AISTATS 2010)
    - "kaiming_uniform", "kaiming_normal": 2 / fan_in, for ReLU (He et al., arXiv 1502.01852)
    - "normal": 0.01^2 (Krizhevsky et al., 2012)
    - "zeros": 0, where only one layer learns

    and biases are zeros but for "uniform". rng: as of a layer; with a seed, "uniform" gives the
    very weights that a model of this seed begins with. Other layers stay as they are.

    Raises ValueError where the name is not one of INITIALIZERS.
    """
    if name not in INITIALIZERS:
        raise ValueError(f"init must be one of {', '.join(INITIALIZERS)}, not {name!r}")
    draw, rng = INITIALIZERS[name], generator(rng)
    for layer in network.layers():
        if not isinstance(layer, Linear | Conv2d):
            continue
        out, fan_in = layer.weight.shape[0], math.prod(layer.weight.shape[1:])
        fan_out = out * math.prod(layer.weight.shape[2:])
        layer.weight.data[...] = draw(rng, layer.weight.shape, fan_in, fan_out)
        if layer.bias is None:
            continue
        if name == "uniform":
            layer.bias.data[...] = draw(rng, layer.bias.shape, fan_in, fan_out)
        else:
            layer.bias.data.fill(0.0)
    return network
