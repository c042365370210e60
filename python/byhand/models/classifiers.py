"""Three digit classifiers: softmax regression, a multilayer perceptron and LeNet-5."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from byhand.models.images import image_shape
from byhand.models.model import Model
from byhand.nn import (
    ACTIVATIONS,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
)
from byhand.nn.initializers import initialize
from byhand.nn.parameter import generator


def softmax_regression(
    seed: int = 0,
    init: str = "uniform",
    *,
    input_shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
) -> Model:
    """Make softmax regression: one linear layer. For MNIST it has 7,850 parameters.

    Parameters
    ----------
    seed : int
        The seed of the initial weights.
    init : str
        The method that draws the initial weights, a key of `nn.initializers.INITIALIZERS`.
    input_shape : (int, int, int)
        The channels, the height and the width of the images.
    classes : int
        The number of classes.

    Returns
    -------
    Model
        The network with its initial weights.
    """
    return mlp((), seed=seed, init=init, input_shape=input_shape, classes=classes)


def mlp(
    hidden: Sequence[int] = (128, 64),
    activation: str = "relu",
    seed: int = 0,
    init: str = "uniform",
    *,
    input_shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
) -> Model:
    """Make a multilayer perceptron: linear layers, with an activation between each two of them.

    Parameters
    ----------
    hidden : sequence of int
        The number of units in each hidden layer. The sequence may be empty.
    activation : {"relu", "tanh", "sigmoid"}
        The activation after each hidden layer.
    seed : int
        The seed of the initial weights.
    init : str
        The method that draws the initial weights, a key of `nn.initializers.INITIALIZERS`.
    input_shape : (int, int, int)
        The channels, the height and the width of the images.
    classes : int
        The number of classes.

    Returns
    -------
    Model
        The network with its initial weights.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or an impossible value.
    """
    if not isinstance(hidden, Iterable) or isinstance(hidden, str):
        raise TypeError(f"hidden must be a sequence of widths, not {hidden!r}")
    rng = generator(seed)
    act = _activation(activation)
    layers: list[Layer] = [Flatten()]
    features = math.prod(image_shape(input_shape))
    for width in hidden:
        layers += [Linear(features, width, rng=rng), act()]
        features = width
    model = Model(*layers, Linear(features, classes, rng=rng), input_shape=input_shape)
    return _initialized(model, init, rng)


def lenet5(
    activation: str = "relu",
    seed: int = 0,
    init: str = "uniform",
    *,
    input_shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
) -> Model:
    """Make a LeNet-5: two convolutions with pooling, and two linear layers.

    The convolutions have 20 and 50 filters of 5 x 5. For MNIST, the network has 129,388 parameters.

    Parameters
    ----------
    activation : {"relu", "tanh", "sigmoid"}
        The activation after each pooling layer and after the first linear layer.
    seed : int
        The seed of the initial weights.
    init : str
        The method that draws the initial weights, a key of `nn.initializers.INITIALIZERS`.
    input_shape : (int, int, int)
        The channels, the height and the width of the images, which must be at least 16 pixels high
        and wide.
    classes : int
        The number of classes.

    Returns
    -------
    Model
        The network with its initial weights.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or an impossible value.

    Notes
    -----
    Pooling comes before the activation. The other order would give the same result, because the
    activation functions are monotonic, but it would compute four times as many activations.

    References
    ----------
    LeCun et al., Gradient-based learning applied to document recognition, 1998.
    """
    rng = generator(seed)
    act = _activation(activation)
    shape = image_shape(input_shape)
    if min(shape[1:]) < 16:
        raise ValueError(
            f"lenet5 takes images of 16 x 16 pixels or more, not {input_shape}; softmax and mlp "
            "take any size"
        )
    features = Sequential(
        Conv2d(shape[0], 20, 5, rng=rng),
        MaxPool2d(2),
        act(),
        Conv2d(20, 50, 5, rng=rng),
        MaxPool2d(2),
        act(),
        Flatten(),
    )
    model = Model(
        *features.children,
        Linear(math.prod(features.output_shape(shape)), 128, rng=rng),
        act(),
        Linear(128, classes, rng=rng),
        input_shape=input_shape,
    )
    return _initialized(model, init, rng)


def _initialized(model: Model, init: str, rng: np.random.Generator) -> Model:
    """Draw the initial weights. For "uniform", the layers themselves have drawn them already."""
    return model if init == "uniform" else initialize(model, init, rng)


def _activation(name: str) -> type[ReLU | Tanh | Sigmoid]:
    """Return the layer of an activation."""
    for known, layer in ACTIVATIONS.items():
        if name == known:
            return layer
    raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {name!r}")
