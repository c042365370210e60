"""Training: the loop over epochs and batches, events for handlers, and run folders.

`Trainer.fit` prints only its progress, by default only in a terminal or a notebook. A training step
copies a batch of images into the input of the plan (the list of kernel calls for the network), runs
the plan, updates the weights and calls the handlers. After the first step of each batch size, a
step allocates no array, with three exceptions: the rounded answers of a model with one output, the
comparison of the labels with the `ignore_index` of the loss, and on a GPU the loss and the number
of right answers, which are arrays of one value.
"""

from __future__ import annotations

from byhand.training import handlers, recipes
from byhand.training.augmentation import Warp
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
from byhand.training.ranks import Ranks
from byhand.training.trainer import Trainer

__all__ = [
    "BatchEnd",
    "CheckpointSaved",
    "EpochEnd",
    "Evaluated",
    "Evaluation",
    "Event",
    "Ranks",
    "StopTraining",
    "Trainer",
    "TrainingEnded",
    "TrainingStarted",
    "Warp",
    "evaluate",
    "handlers",
    "recipes",
]
