"""The cases of `byhand bench inference`: a network's forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from byhand.bench.tasks import start
from byhand.models import Model
from numpy.typing import NDArray

# Largest relative difference between the logits and those in float64, in the Euclidean norm.
TOLERANCE = 1e-5
BATCHES = (1, 128)
MOST_IMAGES = 8192


@dataclass(frozen=True)
class Inference:
    """A forward pass from a caller's images, shape (batch, 1, 28, 28), float32, to logits."""

    model: str
    activation: str
    batch: int
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.model}, batch {self.batch}"

    def start(self) -> Model:
        """Return the model with the weights that all contenders use."""
        return start(self.model, self.activation, self.seed)

    def images(self) -> NDArray[np.float32]:
        """Return random pixels, normalised as the network expects them."""
        model = self.start()
        shape = self.batch, *model.input_shape
        pixels = np.random.default_rng(self.seed).integers(0, 256, shape).astype(np.float32)
        pixels *= np.float32(model.scale)
        pixels += np.float32(model.offset)
        return pixels

    def flops(self) -> int:
        model = self.start()
        return self.batch * model.flops(model.input_shape)
