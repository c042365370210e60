"""Schedules: the learning rate as a function of the training step.

A schedule is any callable that takes the number of a step, counted from 0, and returns the learning
rate for this step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from byhand.checks import integer, not_negative, number


@dataclass(frozen=True)
class Constant:
    """The same learning rate in every step.

    Parameters
    ----------
    lr : float
        The learning rate.
    """

    lr: float

    def __post_init__(self) -> None:
        _set(self, lr=not_negative("lr", self.lr))

    def __call__(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class StepDecay:
    """A learning rate that is multiplied by `gamma` after every `step_size` steps.

    In PyTorch this is torch.optim.lr_scheduler.StepLR, if its `step` is called after each step of
    the optimizer. An epoch has ceil(images / batch_size) steps.

    Parameters
    ----------
    lr : float
        The first learning rate.
    step_size : int
        The number of steps with the same learning rate.
    gamma : float
        The factor.

    Notes
    -----
    The learning rate of a step is lr * gamma ** (step // step_size).
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
    """A learning rate that falls along half a cosine, after an optional linear rise (warm-up).

    Without warm-up, this is torch.optim.lr_scheduler.CosineAnnealingLR.

    Parameters
    ----------
    lr : float
        The largest learning rate.
    total_steps : int
        The number of steps. A call for a later step raises a ValueError.
    min_lr : float
        The learning rate that the cosine would reach in step `total_steps`, one after the last.
    warmup_steps : int
        The number of steps before the one with the largest learning rate. 0 means no warm-up.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or an impossible value.

    Notes
    -----
    Let W be warmup_steps. If step < W, the learning rate is lr * (step + 1) / (W + 1). Otherwise,
    it is min_lr + (lr - min_lr) / 2 * (1 + cos(pi * (step - W) / (total_steps - W))).

    References
    ----------
    The cosine: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR
    2017. The warm-up: Goyal et al., Accurate, large minibatch SGD, arXiv 1706.02677.
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
        step = _checked_step(step, self.total_steps)
        if step < self.warmup_steps:
            return self.lr * (step + 1) / (self.warmup_steps + 1)
        fraction = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return _cosine(self.lr, self.min_lr, fraction)


@dataclass(frozen=True)
class OneCycle:
    """A learning rate that rises along half a cosine, and then falls almost to 0 along another.

    The learning rates are those of torch.optim.lr_scheduler.OneCycleLR with its default cosine
    annealing in two phases. The momentum does not change.

    Parameters
    ----------
    max_lr : float
        The largest learning rate. It is reached at step pct_start * total_steps - 1.
    total_steps : int
        The number of steps. A call for a later step raises a ValueError.
    pct_start : float
        The share of the steps in which the learning rate rises, from 0 to 1.
    div_factor : float
        The learning rate of the first step is max_lr / div_factor.
    final_div_factor : float
        The learning rate of the last step is max_lr / (div_factor * final_div_factor).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or an impossible value.

    References
    ----------
    Smith and Topin, Super-convergence: very fast training of neural networks using large learning
    rates, arXiv 1708.07120.
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
        step = _checked_step(step, self.total_steps)
        last = self.total_steps - 1
        initial = self.max_lr / self.div_factor
        peak = self.pct_start * self.total_steps - 1
        if step <= peak:
            return _cosine(initial, self.max_lr, step / peak if peak > 0 else 1.0)
        return _cosine(self.max_lr, initial / self.final_div_factor, (step - peak) / (last - peak))


def _set(schedule: object, **settings: float) -> None:
    """Store checked settings in a frozen schedule."""
    for name, value in settings.items():
        object.__setattr__(schedule, name, value)


def _checked_step(step: int, total_steps: int) -> int:
    if not 0 <= step < total_steps:
        raise ValueError(f"step {step} is not one of the schedule's {total_steps} steps")
    return int(step)


def _cosine(start: float, end: float, fraction: float) -> float:
    """Return the value of half a cosine from `start` at fraction 0 to `end` at fraction 1."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * fraction))
