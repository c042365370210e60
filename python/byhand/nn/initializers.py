"""Initial weights by name: `initialize` draws those of a whole network."""

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
"""A function of (rng, shape, fan_in, fan_out) that returns weights."""

M = TypeVar("M", bound=Module)


def _uniform(bound: Callable[[int, int], float]) -> Draw:
    """Return what draws uniform weights in +-bound. Their variance is bound^2 / 3."""

    def draw(
        rng: np.random.Generator, shape: Shape, fan_in: int, fan_out: int
    ) -> NDArray[np.float32]:
        limit = bound(fan_in, fan_out)
        return rng.random(shape, np.float32) * (2 * limit) - limit

    return draw


def _normal(deviation: Callable[[int, int], float]) -> Draw:
    """Return what draws normal weights with the mean 0."""

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
    """Draw new weights for all linear and convolutional layers of a network, in their order.

    Other layers do not change.

    Parameters
    ----------
    network : Module
        The network.
    name : str
        How to draw: a key of INITIALIZERS. The notes list them.
    rng : numpy.random.Generator, int or None
        The source of the weights: a generator, a seed, or None for a seed from the system.
        "uniform" with a seed draws the same weights as a model that is made with this seed.

    Returns
    -------
    Module
        The network.

    Raises
    ------
    ValueError
        If `name` is not a key of INITIALIZERS.

    Notes
    -----
    Let fan_in be the number of inputs that each output of a layer depends on, and fan_out the
    number of outputs that each input has an effect on. For a convolution, both are a number of
    channels of one group times the number of filter taps. Weights have the mean 0 and the variance

    - "uniform": 1 / (3 fan_in), which is PyTorch's default,
    - "xavier_uniform", "xavier_normal": 2 / (fan_in + fan_out), for tanh and sigmoid [1]_,
    - "kaiming_uniform", "kaiming_normal": 2 / fan_in, for ReLU [2]_,
    - "normal": 0.01^2 [3]_,
    - "zeros": 0. Then only the last layer can learn.

    Biases are zeros, but "uniform" draws them like the weights.

    References
    ----------
    .. [1] Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
       networks, AISTATS 2010.
    .. [2] He et al., Delving deep into rectifiers, arXiv 1502.01852.
    .. [3] Krizhevsky et al., ImageNet classification with deep convolutional neural networks, 2012.
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
