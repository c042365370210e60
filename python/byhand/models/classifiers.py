"""The digit classifiers, each a page of layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from byhand.models.model import Model, image_shape
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
    """One linear layer, 784 to 10: 7,850 parameters.

    init: a name of byhand.initializers. input_shape: (channels, height, width) of the images.
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
    """Linear layers 784 - hidden - 10 with an activation between them.

    activation: "relu", "tanh" or "sigmoid". init, input_shape: as in `softmax_regression`.
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
    """LeNet-5 with 20 and 50 filters of 5x5 (after LeCun et al., 1998): 129,388 parameters.

    Pooling stands before the activation: both orders give the same for an activation that never
    falls, and this one applies it to a quarter of the values. activation, init, input_shape: as in
    `mlp`; images must have 16 x 16 pixels or more.
    """
    rng = generator(seed)
    act = _activation(activation)
    shape = image_shape(input_shape)
    if min(shape[1:]) < 16:
        raise ValueError(f"lenet5 takes images of 16 x 16 pixels or more, not {input_shape}")
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
    """Layers draw "uniform" themselves."""
    return model if init == "uniform" else initialize(model, init, rng)


def _activation(name: str) -> type[ReLU | Tanh | Sigmoid]:
    for known, layer in ACTIVATIONS.items():
        if name == known:
            return layer
    raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {name!r}")
