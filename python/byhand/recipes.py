"""Recipes: how each named model is trained unless one says otherwise.

Chosen on a split of the training set, 55,000 images to train and 5,000 to choose; the test set
chose nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from byhand.models import Model, lenet5, mlp, softmax_regression
from byhand.optim import OPTIMIZERS, SGD, Optimizer
from byhand.schedules import OneCycle


@dataclass(frozen=True)
class Recipe:
    """How a model is trained unless one says otherwise: SGD with momentum, one cycle of `lr`.

    lr is the peak of the cycle. method: a name of optim.OPTIMIZERS; momentum and nesterov are
    SGD's alone. init: a name of byhand.initializers. max_shift: pixels by which images are moved.
    Change a recipe with dataclasses.replace.
    """

    model: Callable[..., Model]
    epochs: int
    lr: float
    batch_size: int = 128
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0
    method: str = "sgd"
    init: str = "uniform"
    max_shift: int = 0

    def optimizer(self, model: Model) -> Optimizer:
        parameters, make = model.parameters(), OPTIMIZERS[self.method]
        if make is SGD:
            return SGD(parameters, self.lr, self.momentum, self.nesterov, self.weight_decay)
        return make(parameters, self.lr, weight_decay=self.weight_decay)

    def schedule(self, images: int) -> OneCycle:
        """One cycle over `epochs` passes of `images` images."""
        return OneCycle(self.lr, self.epochs * -(-images // self.batch_size))


ADAM_LR = 3e-3
"""The peak of the cycle for Adam and AdamW: of 0.001, 0.003 and 0.01 the best for the MLP."""

RECIPES = {
    "softmax": Recipe(softmax_regression, epochs=10, lr=0.05),
    "mlp": Recipe(mlp, epochs=10, lr=0.05, weight_decay=5e-4),
    "lenet5": Recipe(lenet5, epochs=5, lr=0.1, weight_decay=5e-4),
}
