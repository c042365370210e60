"""Initial weights: `initialize` draws the weights of a whole network by a named method."""

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
    """Return a function that draws uniform weights from -bound to bound (variance bound^2 / 3)."""

    def draw(
        rng: np.random.Generator, shape: Shape, fan_in: int, fan_out: int
    ) -> NDArray[np.float32]:
        limit = bound(fan_in, fan_out)
        return rng.random(shape, np.float32) * (2 * limit) - limit

    return draw


def _normal(deviation: Callable[[int, int], float]) -> Draw:
    """Return a function that draws normal weights (mean 0, standard deviation `deviation`)."""

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


def initialize(network: M, init: str, rng: Rng = None) -> M:
    """Draw new weights for all linear and convolutional layers of a network, in their order.

    All other layers, such as batch normalisation, keep their weights.

    Parameters
    ----------
    network : Module
        The network.
    init : str
        The method: a key of INITIALIZERS. The notes list all of them.
    rng : numpy.random.Generator, int or None
        The source of the weights: a generator, a seed, or None for a random seed. With
        "uniform", a seed gives the same weights as `byhand.models` gives with that seed.

    Returns
    -------
    Module
        The network.

    Raises
    ------
    ValueError
        If `init` is not a key of INITIALIZERS.

    Notes
    -----
    For a linear layer, fan_in is the number of input features, and fan_out the number of output
    features. For a convolution with T filter taps (the height times the width of a filter), fan_in
    is T * in_channels / groups, and fan_out is T * out_channels, as in PyTorch. The weights have
    the mean 0 and the variance

    - "uniform": 1 / (3 fan_in), which is PyTorch's default,
    - "xavier_uniform", "xavier_normal": 2 / (fan_in + fan_out), for tanh and sigmoid (Glorot and
      Bengio),
    - "kaiming_uniform", "kaiming_normal": 2 / fan_in, for ReLU (He et al.),
    - "normal": 0.01^2 (Krizhevsky et al.),
    - "zeros": 0, for softmax regression. If there is a hidden layer, all of its units stay equal.

    "uniform" draws biases like the weights of the same layer. All other methods set biases to zero.

    References
    ----------
    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks,
    AISTATS 2010. He et al., Delving deep into rectifiers, arXiv 1502.01852. Krizhevsky et al.,
    ImageNet classification with deep convolutional neural networks, 2012.
    """
    if init not in INITIALIZERS:
        raise ValueError(f"init must be one of {', '.join(INITIALIZERS)}, not {init!r}")
    draw, rng = INITIALIZERS[init], generator(rng)
    for layer in network.layers():
        if not isinstance(layer, Linear | Conv2d):
            continue
        out, fan_in = layer.weight.shape[0], math.prod(layer.weight.shape[1:])
        fan_out = out * math.prod(layer.weight.shape[2:])
        layer.weight.data[...] = draw(rng, layer.weight.shape, fan_in, fan_out)
        if layer.bias is None:
            continue
        if init == "uniform":
            layer.bias.data[...] = draw(rng, layer.bias.shape, fan_in, fan_out)
        else:
            layer.bias.data.fill(0.0)
    return network
