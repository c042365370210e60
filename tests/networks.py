"""Networks in float64 by the definitions in reference.py; a small data set and a trainer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import reference
from byhand import models, nn, optim
from byhand.training import Trainer

Array = npt.NDArray[Any]


def arguments(layer: nn.Layer, *names: str) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in names}


def forward(layer: nn.Layer, x: Array, weights: list[Array]) -> Array:
    window = ("stride", "padding")
    match layer:
        case nn.Flatten():
            return x.reshape(len(x), int(np.prod(x.shape[1:])))
        case nn.Linear():
            return reference.linear(x, *weights)
        case nn.Conv2d():
            return reference.conv2d(x, *weights, **arguments(layer, *window, "dilation", "groups"))
        case nn.MaxPool2d():
            names = (*window, "dilation", "ceil_mode")
            return reference.max_pool2d(x, layer.kernel_size, **arguments(layer, *names))[0]
        case nn.AvgPool2d():
            names = (*window, "ceil_mode", "count_include_pad")
            return reference.avg_pool2d(x, layer.kernel_size, **arguments(layer, *names))
        case nn.GlobalAvgPool2d():
            return x.mean(axis=(2, 3), keepdims=True)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return batch_norm(layer, x, weights)[0]
        case nn.Dropout():
            return reference.dropout(x, **drawn(layer)) if layer.training else x
        case nn.Residual():
            return x + inside(layer, weights).forward(x)
    return getattr(reference, type(layer).__name__.lower())(x)


def batch_norm(
    layer: nn.BatchNorm1d | nn.BatchNorm2d, x: Array, weights: list[Array]
) -> tuple[Array, ...]:
    statistics = layer.running_mean.data, layer.running_var.data
    settings: Any = {"training": layer.training, "momentum": layer.momentum, "eps": layer.eps}
    return reference.batch_norm(x, *weights, *statistics, **settings)


def drawn(layer: nn.Dropout) -> Any:
    """Return the arguments that decide which values the layer dropped in its last pass."""
    return {"rate": layer.p, **arguments(layer, "seed", "stream"), "step": layer.step - 1}


def inside(layer: nn.Residual, weights: list[Array]) -> Float64Network:
    network = Float64Network(nn.Sequential(*layer.children))
    rest = list(weights)
    network.weights = [[rest.pop(0) for _ in own] for own in network.weights]
    return network


def backward(
    layer: nn.Layer, grad: Array, x: Array, y: Array, weights: list[Array]
) -> tuple[Array, list[Array]]:
    """Return the gradients with respect to x and to the weights."""
    window = ("stride", "padding")
    match layer:
        case nn.Flatten():
            return grad.reshape(x.shape), []
        case nn.Linear():
            dw = reference.linear_backward_weight(grad, x)
            parts = [dw, reference.linear_backward_bias(grad)]
            return reference.linear_backward_input(grad, weights[0]), parts[: len(weights)]
        case nn.Conv2d():
            geometry = arguments(layer, *window, "dilation", "groups")
            dw = reference.conv2d_backward_weight(grad, x, weights[0].shape, **geometry)
            parts = [dw, reference.conv2d_backward_bias(grad)]
            dx = reference.conv2d_backward_input(grad, weights[0], x.shape, **geometry)
            return dx, parts[: len(weights)]
        case nn.MaxPool2d():
            names = (*window, "dilation", "ceil_mode")
            _, at = reference.max_pool2d(x, layer.kernel_size, **arguments(layer, *names))
            return reference.max_pool2d_backward(grad, at, x.shape), []
        case nn.AvgPool2d():
            names = (*window, "ceil_mode", "count_include_pad")
            size, geometry = layer.kernel_size, arguments(layer, *names)
            return reference.avg_pool2d_backward(grad, x.shape, size, **geometry), []
        case nn.GlobalAvgPool2d():
            return np.broadcast_to(grad / np.prod(x.shape[2:]), x.shape), []
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            _, mean, inv_std, *_ = batch_norm(layer, x, weights)
            dx, *own = reference.batch_norm_backward(
                grad, x, weights[0], mean, inv_std, training=layer.training
            )
            return dx, own
        case nn.Dropout():
            return reference.dropout_backward(grad, **drawn(layer)) if layer.training else grad, []
        case nn.Residual():
            network = inside(layer, weights)
            network.forward(x)
            dx, own = network.backward(grad)
            return grad + dx, own
    return getattr(reference, f"{type(layer).__name__.lower()}_backward")(grad, y), []


class Float64Network:
    """The layers of a network with float64 copies of its weights, in the network's order."""

    def __init__(self, network: nn.Module) -> None:
        self.layers = list(network.layers())
        self.weights = [
            [parameter.data.astype(np.float64) for parameter in layer.parameters()]
            for layer in self.layers
        ]
        self.arrays: list[Array] = []

    def forward(self, x: Array) -> Array:
        self.arrays = [np.asarray(x, np.float64)]
        for layer, weights in zip(self.layers, self.weights, strict=True):
            self.arrays.append(forward(layer, self.arrays[-1], weights))
        return self.arrays[-1]

    def backward(self, grad: Array) -> tuple[Array, list[Array]]:
        """Return the gradients with respect to x and to all weights, in the network's order."""
        gradients: list[Array] = []
        for i in reversed(range(len(self.layers))):
            x, y = self.arrays[i : i + 2]
            grad, own = backward(self.layers[i], grad, x, y, self.weights[i])
            gradients = own + gradients
        return grad, gradients


def digits(n: int, seed: int = 0) -> tuple[Array, Array]:
    """Make n images of ten fixed patterns with noise, which a linear model learns quickly."""
    patterns = np.random.default_rng(99).integers(0, 200, (10, 28, 28))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    images = patterns[labels] + rng.integers(0, 56, (n, 28, 28))
    return images.astype(np.uint8), labels.astype(np.uint8)


def trainer(model: models.Model | None = None, lr: float = 0.02, **kwargs: Any) -> Trainer:
    model = models.softmax_regression() if model is None else model
    return Trainer(model, optim.SGD(model.parameters(), lr, 0.9, nesterov=True), **kwargs)
