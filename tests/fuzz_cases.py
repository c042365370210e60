"""The cases of fuzz_networks.py: random networks, each with data and settings for its training.

One seed determines a case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import reference
from byhand import models, nn, optim
from byhand.nn import losses
from byhand.optim import schedules
from calls import Array

Shape = tuple[int, ...]


@dataclass
class Draw:
    """Random choices, all of them from one seed.

    refused: the layers that byhand refused, each with the shape of its input image.
    """

    rng: np.random.Generator
    refused: list[tuple[nn.Module, Shape]] = field(default_factory=list)

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one(self, *choices: Any) -> Any:
        return choices[self.rng.integers(len(choices))]

    def count(self, least: int, most: int) -> int:
        return int(self.rng.integers(least, most + 1))

    def pair(self, least: int, most: int) -> Any:
        """Draw one number for both axes, or a pair with one for each axis."""
        if self.chance(0.5):
            return self.count(least, most)
        return self.count(least, most), self.count(least, most)

    def floats(self, *shape: int) -> Array:
        return self.rng.standard_normal(shape, np.float32)


def conv(draw: Draw, shape: Shape) -> nn.Layer:
    channels = shape[0]
    groups = draw.one(*(g for g in range(1, channels + 1) if channels % g == 0))
    kernel = draw.one(1, 3, 3, 5, draw.pair(1, 4), draw.pair(1, 8))
    padding = draw.one(0, 1, 2, draw.pair(0, 3), (draw.pair(0, 2), (draw.count(0, 3), 1)))
    return nn.Conv2d(
        channels,
        groups * draw.count(1, max(1, 9 // groups)),
        kernel,
        stride=draw.one(1, 1, draw.pair(1, 3)),
        padding=padding,
        dilation=draw.one(1, 1, draw.pair(1, 3)),
        groups=draw.one(1, 1, groups),
        bias=draw.chance(0.7),
    )


def pool(draw: Draw, shape: Shape) -> nn.Layer:
    kernel = draw.one(2, 2, draw.pair(1, 4), draw.pair(1, 8))
    rows, columns = reference.pair(kernel)
    ceil_mode = draw.chance(0.3)
    padding = draw.one(0, 0, (draw.count(0, rows // 2), draw.count(0, columns // 2)))
    if not ceil_mode and draw.chance(0.2):  # paddings that PyTorch refuses
        padding = (draw.count(0, rows - 1), 0), (0, draw.count(0, columns - 1))
    stride = draw.one(None, None, draw.pair(1, 3), draw.pair(1, 5))
    if draw.chance(0.5):
        dilation = draw.one(1, 1, draw.pair(1, 3))
        return nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    return nn.AvgPool2d(kernel, stride, padding, ceil_mode, draw.chance(0.5))


def batch_norm(draw: Draw, shape: Shape) -> nn.Layer:
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return kind(shape[0], eps=draw.one(1e-5, 1e-3, 0.1), momentum=draw.one(0.1, 0.5, 0.0, 1.0))


def activation(draw: Draw, shape: Shape) -> nn.Layer:
    return draw.one(nn.ReLU, nn.ReLU, nn.Tanh, nn.Sigmoid)()


def dropout(draw: Draw, shape: Shape) -> nn.Layer:
    return nn.Dropout(draw.one(0.0, 0.1, 0.5, 0.75), rng=draw.count(0, 2**31))


def linear(draw: Draw, shape: Shape) -> nn.Layer:
    return nn.Linear(shape[0], draw.one(min(shape[0], 64), draw.count(1, 40)), draw.chance(0.7))


def global_average(draw: Draw, shape: Shape) -> nn.Layer:
    return nn.GlobalAvgPool2d()


def residual(draw: Draw, shape: Shape) -> nn.Layer:
    """Draw random layers and, if they change the shape, a layer that restores it."""
    layers, after = chain(draw, shape, draw.count(1, 3))
    if after != shape and len(shape) == 1:
        layers.append(nn.Linear(after[0], shape[0]))
    elif after[1:] == shape[1:]:
        layers.append(nn.Conv2d(after[0], shape[0], 1))
    else:
        layers = [nn.Conv2d(shape[0], shape[0], 3, padding=1), activation(draw, shape)]
    return nn.Residual(*layers)


def nested(draw: Draw, shape: Shape) -> nn.Module:
    return nn.Sequential(*chain(draw, shape, draw.count(1, 3))[0])


def conv_pool(draw: Draw, shape: Shape) -> nn.Module:
    """Draw three layers that a plan computes with one kernel."""
    window, act = nn.MaxPool2d(draw.pair(1, 3)), activation(draw, shape)
    last = draw.one([window, act], [window, act], [act, window])
    return nn.Sequential(conv(draw, shape), *last)


Make = Callable[[Draw, Shape], nn.Module]
ANYWHERE: list[Make] = [activation, activation, batch_norm, dropout, residual, nested]
ON_IMAGES: list[Make] = [*ANYWHERE, conv, conv, conv, conv_pool, conv_pool, pool, pool]
ON_IMAGES.append(global_average)
ON_ROWS: list[Make] = [*ANYWHERE, linear, linear]


def chain(draw: Draw, shape: Shape, length: int) -> tuple[list[nn.Module], Shape]:
    """Draw layers for images of this shape. Return them and the shape of their output."""
    layers: list[nn.Module] = []
    while len(layers) < length:
        layer = draw.one(*(ON_IMAGES if shape[1:] else ON_ROWS))(draw, shape)
        try:
            after = layer.output_shape(shape)
        except ValueError:  # a window larger than the image
            draw.refused.append((layer, shape))
            continue
        if isinstance(layer, nn.MaxPool2d) and not sees_input(layer, shape):
            continue
        layers.append(layer)
        shape = after
    return layers, shape


def sees_input(layer: nn.MaxPool2d, shape: Shape) -> bool:
    """Return whether each window has a value. The maximum of an empty window is -infinity."""
    return bool(np.isfinite(layer.forward(np.zeros((1, *shape), np.float32))).all())


def leaves(network: nn.Module) -> list[Any]:
    return [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def draw_model(draw: Draw) -> models.Model:
    shape: Shape = (draw.one(1, 1, 2, 3, 4), draw.count(1, 12), draw.count(1, 12))
    layers, after = chain(draw, shape, draw.count(0, 4))
    layers.append(nn.Flatten())
    more, after = chain(draw, (int(np.prod(after)),), draw.count(0, 3))
    layers += more
    if draw.chance(0.85) or after[0] > 40 or not leaves(nn.Sequential(*layers)):
        layers.append(nn.Linear(after[0], draw.one(1, 2, 3, 10)))
    share(draw, nn.Sequential(*layers))
    model = models.Model(
        *layers, input_shape=shape, scale=draw.one(1 / 127.5, 1 / 255), offset=draw.one(-1.0, 0.0)
    )
    for layer in model.modules():
        for name, parameter in vars(layer).items():
            if isinstance(parameter, nn.Parameter):
                fill(draw, name, parameter)
    return model


def share(draw: Draw, network: nn.Module) -> None:
    """Let two layers share a weight or a bias if two have the same shape."""
    layers = leaves(network)
    for name in ("weight", "bias"):
        pairs = [
            (a, b)
            for i, a in enumerate(layers)
            for b in layers[i + 1 :]
            if None not in (one := (getattr(a, name), getattr(b, name)))
            and one[0].shape == one[1].shape
        ]
        if pairs and draw.chance(0.6):
            a, b = draw.one(*pairs)
            setattr(b, name, getattr(a, name))


def fill(draw: Draw, name: str, parameter: nn.Parameter) -> None:
    """Draw values with which activations and gradients neither vanish nor explode."""
    values = draw.floats(*parameter.shape)
    if name == "running_var":
        values = 0.5 + values**2
    elif name == "weight" and values.ndim == 1:  # gamma of a batch norm
        values = 1 + values / 2
    elif name == "weight":
        values /= np.sqrt(np.prod(values.shape[1:]))
    parameter.data[...] = values


# --------------------------------------------------------------------------------------------------
# Drawing the rest of a case


@dataclass
class Case:
    """A network, its data, and how it is trained."""

    draw: Draw
    model: models.Model
    frozen: list[int]  # indices in model.modules() of the layers and containers in eval mode
    loss: losses.Loss
    batch_size: int
    threads: int
    data: list[tuple[Array, Array]] = field(repr=False)  # training set, evaluation set
    make_optimizer: Callable[[Any], optim.Optimizer]
    schedule: Any
    ema: float | None
    resume: bool
    max_shift: int
    seed: int

    def set_modes(self, network: Any) -> Any:
        """Put the modules of a byhand or PyTorch network into their modes. Return the network."""
        network.train()
        for i in self.frozen:
            list(network.modules())[i].eval()
        return network


EPOCHS = 2


def draw_case(seed: int) -> Case:
    draw = Draw(np.random.default_rng([14, seed]))
    model = draw_model(draw)
    frozen = [i for i, _ in enumerate(model.modules()) if draw.chance(0.1 if i else 0.03)]
    loss = draw_loss(draw, model.classes)
    images, batch_size = draw.count(2, 24), draw.count(2, 12)
    batches = EPOCHS * -(-images // batch_size)
    # These cases have large gradients: at a usual learning rate, training would diverge.
    gentle = isinstance(loss, losses.MSELoss) or any(
        w.weight.data[0].size > 256 for w in leaves(model)
    )
    make_optimizer, lr = draw_optimizer(draw, gentle)
    kept = draw.one(images, images, draw.count(129, 300))
    data = [draw_data(draw, model, loss, n) for n in (images, kept)]
    shifted = data[0][0].dtype == np.uint8 and draw.chance(0.2)
    return Case(
        *(draw, model, frozen, loss, batch_size, draw.count(1, 3), data, make_optimizer),
        schedule=draw_schedule(draw, lr, batches),
        ema=draw.one(None, None, 0.5, 0.99),
        resume=draw.chance(0.4),
        max_shift=min(1, min(model.input_shape[1:]) - 1) if shifted else 0,
        seed=seed,
    )


def draw_loss(draw: Draw, classes: int) -> losses.Loss:
    if classes == 1 or draw.chance(0.2):
        return losses.MSELoss()
    ignored = draw.one(-100, -100, draw.count(0, classes - 1))
    smoothing = draw.one(0.0, 0.0, 0.1, 1.0)
    return losses.CrossEntropyLoss(ignore_index=ignored, label_smoothing=smoothing)


def draw_data(draw: Draw, model: models.Model, loss: Any, n: int) -> tuple[Array, Array]:
    images = draw.rng.integers(0, 256, (n, *model.input_shape)).astype(np.uint8)
    if draw.chance(0.3):
        images = (images / np.float32(255)).astype(np.float32)
    if model.classes == 1:
        return images, draw.floats(n)
    if draw.chance(0.3):
        rows = draw.floats(n, model.classes)
        return images, rows if loss.one_hot else reference.softmax(rows).astype(np.float32)
    labels = draw.rng.integers(0, model.classes, n)
    if n and np.all(labels == getattr(loss, "ignore_index", -100)):  # byhand refuses such data
        labels[0] = (labels[0] + 1) % model.classes
    return images, labels


def draw_optimizer(draw: Draw, gentle: bool) -> tuple[Callable[[Any], optim.Optimizer], float]:
    decay = draw.one(0.0, 1e-3, 0.1)
    if draw.chance(0.5):
        lr, momentum = draw.one(1e-4, 1e-3, 0.01) / (10 if gentle else 1), draw.one(0.0, 0.5, 0.9)
        nesterov = momentum > 0 and draw.chance(0.5)
        dampening = 0.0 if nesterov else draw.one(0.0, 0.0, 0.3, 0.9)
        settings = momentum, dampening, decay, nesterov
        return lambda p: optim.SGD(p, lr, *settings), lr
    kind, lr = draw.one(optim.Adam, optim.AdamW), draw.one(1e-4, 1e-3, 0.01)
    betas, eps = draw.one((0.9, 0.999), (0.5, 0.75), (0.0, 0.9)), draw.one(1e-8, 1e-3)
    return lambda p: kind(p, lr, betas, eps, decay), lr


def draw_schedule(draw: Draw, lr: float, steps: int) -> Any:
    return draw.one(
        None,
        schedules.Constant(lr),
        schedules.StepDecay(lr, draw.count(1, steps), 0.3),
        schedules.Cosine(lr, steps, lr / 7, draw.count(0, steps - 1)),
        schedules.OneCycle(lr, steps, draw.one(0.3, 0.5)),
    )
