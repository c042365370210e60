"""Dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from byhand import kernels
from byhand.checks import between
from byhand.engine.plan import Call
from byhand.nn.module import Layer
from byhand.nn.parameter import NO_WEIGHTS, generator

if TYPE_CHECKING:
    from byhand.nn.parameter import Rng


class Dropout(Layer):
    """In training, 0 in place of each value with the probability p, the others over 1 - p.

    In inference it does nothing. Which values go depends on `seed`, on `step` and on `stream`, the
    layer's number among those of its network; each pass in training counts the step up. A Trainer
    sets seed and step, so that training that goes on later draws what it would have drawn.
    """

    has_modes = True

    def __init__(self, p: float = 0.5, *, rng: Rng = None) -> None:
        self.p = between("p", p, 0.0, 1.0)
        self.seed = 0 if rng is NO_WEIGHTS else int(generator(rng).integers(2**63))
        self.step = 0
        self.stream = 0
        self._drawn: tuple[float, dict[str, int]] = (self.p, {})

    def begin_step(self, seed: int, step: int) -> None:
        self.seed, self.step = seed, step

    def run(self, b: Call) -> None:
        b.training = self.training and not b.inference
        if b.training:
            # The probability, too: it may be changed before the backward pass.
            drawn = {"seed": self.seed, "step": self.step, "stream": self.stream}
            self._drawn = self.p, drawn
            self.step += 1
            kernels.dropout(b.x, self.p, **drawn, out=b.y)
        else:
            kernels.dropout(b.x, 0.0, seed=0, step=0, out=b.y)

    def run_backward(self, b: Call) -> None:
        if b.grad_x is None:
            return
        if b.training:
            p, drawn = self._drawn
            kernels.dropout_backward(b.grad_y, p, **drawn, out=b.grad_x)
        else:
            kernels.dropout_backward(b.grad_y, 0.0, seed=0, step=0, out=b.grad_x)
