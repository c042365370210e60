"""The networks of the tutorials that are not in `byhand.models`."""

from __future__ import annotations

from byhand.models import Model
from byhand.nn import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sigmoid,
)
from byhand.nn.parameter import generator


def batch_norm_cnn(seed: int = 0) -> Model:
    """Make tutorial B's network: two convolutions with batch normalisation between them.

    The network has 33,620 trainable parameters and no hidden linear layer.

    Parameters
    ----------
    seed : int
        The seed of the initial weights.

    Returns
    -------
    Model
        A model for images of shape (1, 28, 28) with 10 classes.
    """
    rng = generator(seed)
    return Model(
        Conv2d(1, 20, 5, rng=rng),
        ReLU(),
        MaxPool2d(2),
        BatchNorm2d(20),
        Conv2d(20, 50, 5, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(800, 10, rng=rng),
    )


def digit_mlp(seed: int = 0) -> Model:
    """Make tutorial C's MLP, 784-10-10-1 with sigmoids. Its output is the digit as a number.

    Parameters
    ----------
    seed : int
        The seed of the initial weights.

    Returns
    -------
    Model
        A model for images of shape (1, 28, 28) with one output.

    Notes
    -----
    The pixels in the input of this network and of `digit_cnn` are from 0 to 1, as in the tutorial.
    With pixels from -1 to 1, two of three trainings of `digit_cnn` ended with a squared error above
    1.1.
    """
    rng = generator(seed)
    return Model(
        Flatten(),
        Linear(784, 10, rng=rng),
        Sigmoid(),
        Linear(10, 10, rng=rng),
        Sigmoid(),
        Linear(10, 1, rng=rng),
        scale=1 / 255,
        offset=0.0,
    )


def digit_cnn(seed: int = 0) -> Model:
    """Make tutorial C's CNN: two convolutions with 20 filters each. Its output is the digit.

    Parameters
    ----------
    seed : int
        The seed of the initial weights.

    Returns
    -------
    Model
        A model for images of shape (1, 28, 28) with one output.
    """
    rng = generator(seed)
    return Model(
        Conv2d(1, 20, 5, padding=2, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Conv2d(20, 20, 5, padding=2, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(980, 1, rng=rng),
        scale=1 / 255,
        offset=0.0,
    )
