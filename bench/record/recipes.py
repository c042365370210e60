"""The networks and the settings of the records.

The test set chose none of them. Networks and settings were compared by their mean accuracy on the
held-out images of `hold_out(1 / 12)`, of the training set's own 60,000 images.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

from byhand.models import Model
from byhand.nn import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
)
from byhand.nn.parameter import generator
from byhand.optim import Adam
from byhand.training.augmentation import Warp
from byhand.training.recipes import BEST, Recipe


@dataclass(frozen=True)
class SmallLeNet:
    """A network like LeNet-5: two convolutions with pooling and ReLU, then linear layers.

    Parameters
    ----------
    filters : (int, int)
        The numbers of filters of the two convolutions. All filters have 5 x 5 taps.
    hidden : tuple of int
        The numbers of outputs of the linear layers before the last one, which has 10.
    """

    filters: tuple[int, int]
    hidden: tuple[int, ...]

    def __call__(self, seed: int = 0) -> Model:
        """Make the network. The seed decides the initial weights."""
        rng = generator(seed)
        first, second = self.filters
        layers = [
            Conv2d(1, first, 5, rng=rng),
            MaxPool2d(2),
            ReLU(),
            Conv2d(first, second, 5, rng=rng),
            MaxPool2d(2),
            ReLU(),
            Flatten(),
        ]
        inputs = second * 4 * 4
        for outputs in self.hidden:
            layers += [Linear(inputs, outputs, rng=rng), ReLU()]
            inputs = outputs
        return Model(*layers, Linear(inputs, 10, rng=rng))


@dataclass(frozen=True)
class RepeatedBlocks:
    """A very small network, which applies each of two blocks several times.

    The network begins with a convolution with filters of 3 x 3 and max pooling. A block is a filter
    of 3 x 3 for each channel alone, a convolution of 1 x 1, batch normalization and ReLU. The first
    block runs on planes of 14 x 14, and the second one on planes of 7 x 7. All uses of a block
    share its parameters, which count once. Each use has its own running mean and variance. At the
    end, a filter of 7 x 1 and then one of 1 x 7, for each channel alone, turn each plane into one
    number. A linear layer takes these numbers.

    Parameters
    ----------
    channels : int
        The number of channels.
    repeats : (int, int)
        The number of times that each block is applied.
    """

    channels: int = 12
    repeats: tuple[int, int] = (2, 2)

    def __call__(self, seed: int = 0) -> Model:
        """Make the network. The seed decides the initial weights."""
        rng, channels = generator(seed), self.channels

        def filters(height: int, width: int, padding: int = 0) -> Conv2d:
            """Return a layer with one filter per channel."""
            size = (height, width)
            return Conv2d(
                channels, channels, size, padding=padding, groups=channels, bias=False, rng=rng
            )

        first = Conv2d(1, channels, 3, padding=1, bias=False, rng=rng)
        layers: list[Layer] = [first, MaxPool2d(2), BatchNorm2d(channels), ReLU()]
        for block, count in enumerate(self.repeats):
            shared = (
                filters(3, 3, padding=1),
                Conv2d(channels, channels, 1, bias=False, rng=rng),
                BatchNorm2d(channels),
            )
            for use in range(count):
                planes, mix, norm = copy.deepcopy(shared)
                planes.weight, mix.weight = shared[0].weight, shared[1].weight
                norm.weight, norm.bias = shared[2].weight, shared[2].bias
                pools = block == 0 and use == count - 1
                layers += [planes, mix, *([MaxPool2d(2)] if pools else []), norm, ReLU()]
        head = [filters(7, 1), filters(1, 7), Flatten(), Linear(channels, 10, rng=rng)]
        return Model(*layers, *head)


@dataclass(frozen=True)
class DeepConvolutions:
    """A network of 3 x 3 convolutions, each with batch normalization and ReLU.

    Max pooling follows each pair of convolutions except the last one. The means of the last planes
    go to a linear layer.

    Parameters
    ----------
    channels : tuple of int
        The number of channels of each pair of convolutions.
    """

    channels: tuple[int, ...] = (32, 64, 96)

    def __call__(self, seed: int = 0) -> Model:
        """Make the network. The seed decides the initial weights."""
        rng = generator(seed)
        layers: list[Layer] = []
        inputs = 1
        for outputs in self.channels:
            if layers:
                layers.append(MaxPool2d(2))
            for _ in range(2):
                conv = Conv2d(inputs, outputs, 3, padding=1, bias=False, rng=rng)
                layers += [conv, BatchNorm2d(outputs), ReLU()]
                inputs = outputs
        return Model(*layers, GlobalAvgPool2d(), Flatten(), Linear(inputs, 10, rng=rng))


@dataclass(frozen=True)
class AdamRecipe(Recipe):
    """A recipe with Adam, whose betas can be chosen."""

    method: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)

    def optimizer(self, model: Model) -> Adam:
        return Adam(model.parameters(), self.lr, self.betas)


_SPEED = AdamRecipe(
    SmallLeNet((6, 24), (64,)),
    epochs=1,
    lr=0.01,
    batch_size=96,
    betas=(0.7, 0.9),
    label_smoothing=0.1,
)

# The recipe of each record of speed, by the target in percent.
SPEED = {
    "99": _SPEED,
    "99.2": replace(_SPEED, model=SmallLeNet((8, 32), (64,)), epochs=2, batch_size=128),
    "99.5": replace(
        _SPEED,
        model=SmallLeNet((16, 48), (128,)),
        epochs=10,
        lr=0.005,
        batch_size=128,
        max_shift=1,
    ),
}

# The network that SimpleChains.jl published times for. The settings are those of
# examples/mnist_lenet.jl in its repository.
SIMPLE_CHAINS = AdamRecipe(
    SmallLeNet((6, 16), (120, 84)), epochs=10, lr=3e-4, batch_size=128, schedule_name="constant"
)

# The recipe of the record of size.
SIZE = Recipe(RepeatedBlocks(), epochs=45, lr=0.03, weight_decay=0.05, method="adamw", max_shift=1)

# The recipes of the record of accuracy, by the name of the network.
ACCURACY = {
    "lenet5": replace(
        BEST["lenet5"],
        epochs=120,
        weight_decay=0.3,
        augment=Warp(rotation=10, scale=0.1, shear=5, shift=0, elastic=0),
    ),
    "conv": Recipe(
        DeepConvolutions(),
        epochs=20,
        lr=0.1,
        weight_decay=5e-4,
        label_smoothing=0.1,
        augment=Warp(elastic=0),
    ),
}

# The mean accuracy that byhand must reach by a recipe, in percent.
TARGETS = {**{name: float(name) for name in SPEED}, "size": 99.0, "lenet5": 99.65, "conv": 99.75}

# All recipes, by the name of the model of an `Attempt`.
ATTEMPTS: dict[str, Recipe] = {
    **SPEED,
    "simplechains": SIMPLE_CHAINS,
    "size": SIZE,
    **ACCURACY,
}
