"""Layers with PyTorch's names, arguments and initial weights, each with its backward pass.

For example::

    network = Sequential(Flatten(), Linear(784, 10))
    logits = network(images)  # forward
    grad_images = network.backward(grad_logits)  # adds to the .grad of every parameter

Images have the shape (N, channels, height, width). A `kernel_size`, `stride` or `dilation` is an
integer or a pair (vertical, horizontal). A `padding` may also be ((top, bottom), (left, right)).
`rng` is the source of the initial weights: a NumPy generator, a seed, or None for a random seed.
Several layers may share one generator, because each draw advances it.
"""

from __future__ import annotations

from byhand.nn import initializers, losses
from byhand.nn.containers import Residual, Sequential
from byhand.nn.dropout import Dropout
from byhand.nn.layer import Layer
from byhand.nn.layers import (
    ACTIVATIONS,
    AvgPool2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Sigmoid,
    Tanh,
)
from byhand.nn.losses import CrossEntropyLoss, MSELoss
from byhand.nn.module import Module
from byhand.nn.normalization import BatchNorm1d, BatchNorm2d
from byhand.nn.parameter import Parameter

__all__ = [
    "ACTIVATIONS",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "Layer",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "initializers",
    "losses",
]
