"""Optimizers, schedules of the learning rate, and averages of weights."""

from __future__ import annotations

from byhand.optim import schedules
from byhand.optim.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Optimizer

__all__ = ["OPTIMIZERS", "SGD", "Adam", "AdamW", "Optimizer", "schedules"]
