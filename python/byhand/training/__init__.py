"""Training: epochs over shuffled batches, typed events for handlers, a run folder.

Nothing is printed but the progress, in a terminal or a notebook. A step gathers a batch from the
bytes, runs a plan, moves the weights and tells the handlers; after the first step of each batch
size it allocates no array, except for the rounded answers of a model with one output.
"""

from __future__ import annotations

from byhand.training import handlers, recipes
from byhand.training.evaluation import Evaluation, evaluate
from byhand.training.events import (
    BatchEnd,
    CheckpointSaved,
    EpochEnd,
    Evaluated,
    Event,
    StopTraining,
    TrainingEnded,
    TrainingStarted,
)
from byhand.training.trainer import Trainer

__all__ = [
    "BatchEnd",
    "CheckpointSaved",
    "EpochEnd",
    "Evaluated",
    "Evaluation",
    "Event",
    "StopTraining",
    "Trainer",
    "TrainingEnded",
    "TrainingStarted",
    "evaluate",
    "handlers",
    "recipes",
]
