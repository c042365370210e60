"""Training: the loop over epochs and batches, events for handlers, and run folders.

`Trainer.fit` prints nothing but its progress, and that only in a terminal or a notebook. A training
step gathers a batch from the bytes of the images, runs the plan of the network, updates the weights
and tells the handlers. After the first step of each batch size it allocates no array, except for
the rounded answers of a model with one output.
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
