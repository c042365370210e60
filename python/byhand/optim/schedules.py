"""Learning rates as functions of the step: any callable step -> lr will do. Steps count from 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

from byhand.checks import integer, not_negative, number


@dataclass(frozen=True)
class Constant:
    """The same learning rate for ever."""

    lr: float

    def __post_init__(self) -> None:
        _set(self, lr=not_negative("lr", self.lr))

    def __call__(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class Step:
    """lr, multiplied by gamma after every step_size steps: lr * gamma ** (step // step_size).

    torch.optim.lr_scheduler.StepLR, whose unit is whatever one calls it for; here it is always a
    step of the optimizer, of which an epoch has ceil(images / batch_size).
    """

    lr: float
    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _set(self, lr=not_negative("lr", self.lr))
        _set(self, step_size=integer("step_size", self.step_size, 1))
        _set(self, gamma=not_negative("gamma", self.gamma))

    def __call__(self, step: int) -> float:
        return float(self.lr * self.gamma ** (int(step) // self.step_size))


@dataclass(frozen=True)
class Cosine:
    """Up to lr along a line, then down towards min_lr along half a cosine.

    With W = warmup_steps the rate is lr * (step + 1) / (W + 1) before step W, and from there on
    min_lr + (lr - min_lr) / 2 * (1 + cos(pi * (step - W) / (total_steps - W))): half a period of
    SGDR (Loshchilov and Hutter, ICLR 2017), after the warm-up of Goyal et al. (arXiv 1706.02677).
    torch.optim.lr_scheduler.CosineAnnealingLR is the same without warm-up.
    """

    lr: float
    total_steps: int
    min_lr: float = 0.0
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        _set(self, lr=not_negative("lr", self.lr))
        _set(self, total_steps=integer("total_steps", self.total_steps, 1))
        _set(self, min_lr=not_negative("min_lr", self.min_lr))
        _set(self, warmup_steps=integer("warmup_steps", self.warmup_steps, 0))
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr must be at most lr={self.lr}, not {self.min_lr}")
        if self.warmup_steps >= self.total_steps:
            raise ValueError(
                f"warmup_steps must be less than total_steps={self.total_steps}, "
                f"not {self.warmup_steps}"
            )

    def __call__(self, step: int) -> float:
        """Raises ValueError where the step is not one of the total_steps."""
        step = _checked_step(step, self.total_steps)
        if step < self.warmup_steps:
            return self.lr * (step + 1) / (self.warmup_steps + 1)
        fraction = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return _cosine(self.lr, self.min_lr, fraction)


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
        _set(self, max_lr=not_negative("max_lr", self.max_lr))
        _set(self, total_steps=integer("total_steps", self.total_steps, 1))
        _set(self, pct_start=number("pct_start", self.pct_start))
        if not 0.0 <= self.pct_start <= 1.0:
            raise ValueError(f"pct_start must be from 0 to 1, not {self.pct_start}")
        for name, factor in (
            ("div_factor", self.div_factor),
            ("final_div_factor", self.final_div_factor),
        ):
            if not (number(name, factor) > 0 and math.isfinite(factor)):
                raise ValueError(f"{name} must be positive and finite, not {factor}")
            _set(self, **{name: float(factor)})

    def __call__(self, step: int) -> float:
        """Raises ValueError where the step is not one of the total_steps."""
        step = _checked_step(step, self.total_steps)
        last = self.total_steps - 1
        initial = self.max_lr / self.div_factor
        peak = self.pct_start * self.total_steps - 1
        if step <= peak:
            return _cosine(initial, self.max_lr, step / peak if peak > 0 else 1.0)
        return _cosine(self.max_lr, initial / self.final_div_factor, (step - peak) / (last - peak))


def _set(schedule: object, **settings: float) -> None:
    """Store checked settings in a frozen schedule: NumPy's scalars as Python's numbers."""
    for name, value in settings.items():
        object.__setattr__(schedule, name, value)


def _checked_step(step: int, total_steps: int) -> int:
    if not 0 <= step < total_steps:
        raise ValueError(f"step {step} is not one of the schedule's {total_steps} steps")
    return int(step)


def _cosine(start: float, end: float, fraction: float) -> float:
    """From start at 0 to end at 1, level at both ends."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * fraction))
