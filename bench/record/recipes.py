"""The networks and the settings of the records.

The test set chose none of them. Networks and settings were compared by their mean accuracy on the
held-out images of `hold_out(1 / 12)`, of the training set's own 60,000 images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from byhand.models import Model
from byhand.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from byhand.nn.parameter import generator
from byhand.optim import Adam
from byhand.training.recipes import Recipe


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
}

# The network that SimpleChains.jl published times for. The settings are those of
# examples/mnist_lenet.jl in its repository.
SIMPLE_CHAINS = AdamRecipe(
    SmallLeNet((6, 16), (120, 84)), epochs=10, lr=3e-4, batch_size=128, schedule_name="constant"
)

# All recipes, by the name of the model of an `Attempt`.
ATTEMPTS = {**SPEED, "simplechains": SIMPLE_CHAINS}
