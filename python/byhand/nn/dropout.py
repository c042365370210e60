"""The dropout layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from byhand import kernels
from byhand.checks import between
from byhand.engine.op import Call
from byhand.nn.layer import Layer
from byhand.nn.parameter import NO_WEIGHTS, generator

if TYPE_CHECKING:
    from byhand.nn.parameter import Rng


class Dropout(Layer):
    """Dropout: in training, set random values to zero.

    In training, each value is set to zero with probability `p`, and the values that remain are
    divided by 1 - p. In inference, the output equals the input.

    Parameters
    ----------
    p : float
        The probability that a value is set to zero, from 0 to 1.
    rng : numpy.random.Generator, int or None
        The source from which the attribute `seed` is drawn: a generator, the seed of a new
        generator, or None for a random one.

    Attributes
    ----------
    seed, step, stream : int
        The numbers that decide which values are set to zero. `stream` is the number of this layer
        among the dropout layers of its network, counted from 0. Each forward pass in training
        increases `step` by 1. A `Trainer` sets `seed` and `step`, so that a resumed run sets the
        same values to zero as an uninterrupted run.

    References
    ----------
    Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, JMLR 2014.
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
            # Keep `p` too, because a user may change it before the backward pass.
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
