"""The cases of `byhand bench inference`: a network's forward pass, and the goals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from byhand.bench.goals import Line
from byhand.bench.harness import Result
from byhand.bench.peers import OURS
from byhand.bench.tasks import start
from byhand.models import Model
from numpy.typing import NDArray

# Largest relative difference of the logits from those in float64, in the Euclidean norm.
TOLERANCE = 1e-5
BATCHES = (1, 128)
MOST_IMAGES = 8192

# The goals of LeNet-5 on one thread, against this peer, by batch.
RIVAL = "onnxruntime"
GOALS = {1: 2.0, 128: 3.5}


@dataclass(frozen=True)
class Inference:
    """A batch of float32 images (batch, 1, 28, 28) of a caller to logits that the caller reads."""

    model: str
    activation: str
    batch: int
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.model}, batch {self.batch}"

    def start(self) -> Model:
        """The model, with the weights that every contender has."""
        return start(self.model, self.activation, self.seed)

    def images(self) -> NDArray[np.float32]:
        """Random pixels, as the network sees them."""
        model = self.start()
        shape = self.batch, *model.input_shape
        pixels = np.random.default_rng(self.seed).integers(0, 256, shape).astype(np.float32)
        pixels *= np.float32(model.scale)
        pixels += np.float32(model.offset)
        return pixels

    def flops(self) -> int:
        model = self.start()
        return self.batch * model.flops(model.input_shape)


def summary(results: Sequence[Result], threads: int) -> Iterator[Line]:
    """The ratio of each case's fastest peer, and where there is a goal the rival's."""
    for result in results:
        case = result.case
        peers = {e.contender: e.ratio for e in result.entries if e.ratio and e.contender != OURS}
        if not peers:
            continue
        has_goal = case["model"] == "lenet5" and threads == 1
        goal = GOALS.get(case["batch"]) if has_goal and RIVAL in peers else None
        if goal is not None:
            yield Line(f"{case['label']}, against {RIVAL}", peers[RIVAL], goal)
        fastest = min(peers, key=peers.__getitem__)
        if goal is None or fastest != RIVAL:
            yield Line(f"{case['label']}, against the fastest, {fastest}", peers[fastest])
