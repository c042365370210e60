"""Learning rates as functions of the step: any callable step -> lr will do. Steps count from 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

from byhand.module import integer, not_negative, number


@dataclass(frozen=True)
class Constant:
    """The same learning rate for ever."""

    lr: float

    def __post_init__(self) -> None:
        not_negative("lr", self.lr)

    def __call__(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class OneCycle:
    """Up to max_lr and down to nearly nothing, each along half a cosine (Smith and Topin, 2017).

    The rate is max_lr / div_factor at step 0, max_lr at step pct_start * total_steps - 1, and
    max_lr / (div_factor * final_div_factor) at the last step: torch.optim.lr_scheduler.OneCycleLR
    with cosine annealing in two phases.
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        not_negative("max_lr", self.max_lr)
        integer("total_steps", self.total_steps, 1)
        if not 0.0 <= number("pct_start", self.pct_start) <= 1.0:
            raise ValueError(f"pct_start must be from 0 to 1, not {self.pct_start}")
        for name, factor in (
            ("div_factor", self.div_factor),
            ("final_div_factor", self.final_div_factor),
        ):
            if not (number(name, factor) > 0 and math.isfinite(factor)):
                raise ValueError(f"{name} must be positive and finite, not {factor}")

    def __call__(self, step: int) -> float:
        """Raises ValueError where the step is not one of the total_steps."""
        last = self.total_steps - 1
        if not 0 <= step <= last:
            raise ValueError(f"step {step} is not one of the schedule's {self.total_steps} steps")
        initial = self.max_lr / self.div_factor
        peak = self.pct_start * self.total_steps - 1
        if step <= peak:
            return _cosine(initial, self.max_lr, step / peak if peak > 0 else 1.0)
        return _cosine(self.max_lr, initial / self.final_div_factor, (step - peak) / (last - peak))


def _cosine(start: float, end: float, fraction: float) -> float:
    """From start at 0 to end at 1, level at both ends."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * fraction))
